"""Which price list an emitter means by the provider it names.

Source: open-telemetry/semantic-conventions-genai (`gen_ai.provider.name`), the older
`gen_ai.system`, LiteLLM's model prefixes, and the Vercel AI SDK (`openai.chat`, `xai.responses`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ALIASES: Final[Mapping[str, str]] = {
    "amazon-bedrock": "aws",
    "amazon_bedrock": "aws",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure-openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "claude": "anthropic",
    "cohere_chat": "cohere",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "fireworksai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "google-gla": "google",
    "google-vertex": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "text-completion-openai": "openai",
    "together-ai": "together",
    "together_ai": "together",
    "togetherai": "together",
    "vertex_ai": "google",
    "vertexai": "google",
    "voyage": "voyageai",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "z.ai": "zai",
}
"""Spelling -> id in genai-prices, whose own matching takes `azure.ai.openai` for OpenAI."""

OPENAI: Final = "openai"
"""Everything speaks OpenAI's API: a client that names it may talk to a proxy for any vendor."""

UNPRICED: Final = frozenset(
    {
        "aws.sagemaker", "hosted_vllm", "hugging_face", "huggingface", "huggingface_local",
        "ibm.watsonx.ai", "llama.cpp", "llama_cpp", "llamacpp", "llamafile", "lm_studio",
        "lmstudio", "localai", "ollama", "ollama_chat", "replicate", "sagemaker", "sglang", "tgi",
        "transformers", "vllm", "watsonx", "xinference",
    }
)  # fmt: skip
"""Hosts whose price does not follow from the model: the operator's own machines and rented ones.
A `deepseek-r1` in Ollama must not be charged as the vendor's."""


def spellings(provider: str) -> tuple[str, ...]:
    """The name itself, then what stands before the API (`openai` of `openai.chat`)."""
    name = provider.strip().lower()
    head = name.partition(".")[0]
    return (name,) if head == name else (name, head)
