"""Is an HTTP request a model call?  By method, host and path; the body is not read.

Whatever is not clearly one is none: a run that was stopped still has to write to its database, tell
somebody, clean up.  So cancelling a response, listing models or deleting a file is no model call.

Sources of the paths: the API references of OpenAI, Azure OpenAI, Anthropic, Google (Gemini API and
Vertex AI), Amazon Bedrock Runtime, Mistral, Cohere and Ollama.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["ModelHosts", "is_model_call"]

HOSTS: Final = frozenset(
    {
        "api.ai21.com", "api.anthropic.com", "api.cerebras.ai", "api.cohere.ai", "api.cohere.com",
        "api.deepinfra.com", "api.deepseek.com", "api.fireworks.ai", "api.groq.com",
        "api.hyperbolic.xyz", "api.inference.huggingface.co", "api-inference.huggingface.co",
        "api.jina.ai", "api.mistral.ai", "api.moonshot.ai", "api.moonshot.cn", "api.novita.ai",
        "api.openai.com", "api.perplexity.ai", "api.replicate.com", "api.sambanova.ai",
        "api.together.ai", "api.together.xyz", "api.voyageai.com", "api.x.ai",
        "codestral.mistral.ai", "dashscope.aliyuncs.com", "generativelanguage.googleapis.com",
        "integrate.api.nvidia.com", "models.github.ai", "models.inference.ai.azure.com",
        "openrouter.ai", "router.huggingface.co",
    }
)  # fmt: skip
"""Hosts that serve models, by whole name."""
HOST_ENDS: Final = (
    ".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com",
    ".inference.ai.azure.com", "aiplatform.googleapis.com", ".endpoints.huggingface.cloud",
    ".watsonx.ai", ".ml.cloud.ibm.com",
)  # fmt: skip
"""And by how their name ends."""
ON_MODEL_HOSTS: Final = frozenset(
    {
        "chat", "completions", "converse", "converse-stream", "edits", "embed", "embeddings",
        "fim", "generate", "generations", "invoke", "invoke-with-response-stream", "messages",
        "ocr", "predict", "predictions", "rawpredict", "rerank", "responses", "runs", "speech",
        "streamrawpredict", "text_generation", "transcriptions", "translations", "variations",
    }
)  # fmt: skip
"""Last part of a path that is a model call on a host that serves models."""
METHODS_OF_MODELS: Final = frozenset(
    {"generatecontent", "streamgeneratecontent", "embedcontent", "batchembedcontents"}
)
"""After the colon of `/v1beta/models/NAME:generateContent`, on any host."""
ANYWHERE: Final = frozenset(
    {
        ("chat", "completions"), ("v1", "completions"), ("v1", "embeddings"), ("v1", "responses"),
        ("openai", "responses"),
    }
)  # fmt: skip
"""Last two parts that are a model call on any host: gateways, and servers of one's own."""
BEDROCK: Final = frozenset({"converse", "converse-stream", "invoke", "invoke-with-response-stream"})
OLLAMA_PORT: Final = 11434


class ModelHosts:
    """Hosts of one's own: `llm.internal`, `llm.internal:8080`, `*.llm.internal`.  Every POST to
    one of them that ends in a well-known part is a model call."""

    __slots__ = ("_ends", "_names")

    def __init__(self, hosts: tuple[str, ...] = ()) -> None:
        """Raises `ValueError` for what is no host."""
        for host in hosts:
            if not host.strip() or "/" in host or " " in host.strip():
                raise ValueError(
                    f"model_hosts: expected a host such as llm.internal:8080, got {host!r}.\n"
                    "  Fix: leave out scheme and path."
                )
        lower = [host.strip().lower() for host in hosts]
        self._names = frozenset(host for host in lower if not host.startswith("*."))
        self._ends = tuple(host[1:] for host in lower if host.startswith("*."))

    def __contains__(self, where: tuple[str, int | None]) -> bool:
        host, port = where
        return (
            host in HOSTS
            or host in self._names
            or f"{host}:{port}" in self._names
            or host.endswith(HOST_ENDS)
            or (bool(self._ends) and host.endswith(self._ends))
        )


def is_model_call(method: str, url: str, headers: Mapping[str, Any], hosts: ModelHosts) -> bool:
    """`headers` in any case of letters, or as a mapping that does not care."""
    if method.upper() != "POST":
        return False
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    path = parts.path.lower().rstrip("/").split("/")
    last = path[-1]
    before = path[-2] if len(path) > 1 else ""
    if ":" in last:
        last = last.rsplit(":", 1)[1]
        if last in METHODS_OF_MODELS:
            return True
    if (before, last) in ANYWHERE:
        return True
    if last in BEDROCK and len(path) > 2 and path[-3] == "model":
        return True
    if (host, port) in hosts:
        # To a thread of OpenAI's something is added without a model.
        return last in ON_MODEL_HOSTS and not (last == "messages" and "threads" in path)
    if port == OLLAMA_PORT and before == "api":
        return last in ON_MODEL_HOSTS
    # Many services have messages; those of Anthropic's API are versioned by a header.
    return last == "messages" and "anthropic-version" in {name.lower() for name in headers}
