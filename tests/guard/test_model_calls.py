"""What is a model call and what is not."""

from __future__ import annotations

import pytest

from otel_agentrun.model_calls import ModelHosts, is_model_call

CALLS = (
    "https://api.openai.com/v1/chat/completions",
    "https://api.openai.com/v1/responses",
    "https://api.openai.com/v1/embeddings",
    "https://api.openai.com/v1/images/generations",
    "https://api.openai.com/v1/threads/t1/runs",
    "https://api.anthropic.com/v1/messages",
    "https://me.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
    "https://me.openai.azure.com/openai/responses?api-version=preview",
    "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
    "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/"
    "models/gemini:streamGenerateContent?alt=sse",
    "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/"
    "models/claude:rawPredict",
    "https://bedrock-runtime.eu-central-1.amazonaws.com/model/anthropic.claude/invoke",
    "https://bedrock-runtime.eu-central-1.amazonaws.com/model/anthropic.claude%3A1/converse-stream",
    "https://api.cohere.com/v2/chat",
    "https://api.cohere.com/v2/rerank",
    "http://localhost:11434/api/chat",
    "http://10.0.0.1:11434/api/generate",
    "http://gateway.internal:4000/v1/chat/completions",
    "http://vllm:8000/v1/completions/",
)
OTHERS = (
    "https://api.openai.com/v1/files",
    "https://api.openai.com/v1/responses/r1/cancel",
    "https://api.openai.com/v1/threads/t1/messages",
    "https://api.openai.com/v1/vector_stores",
    "https://discord.com/api/v10/channels/1/messages",
    "https://api.twilio.com/2010-04-01/Accounts/A/Messages.json",
    "https://hooks.slack.com/services/T/B/x",
    "https://shop.internal/api/chat",
    "https://lambda.eu-central-1.amazonaws.com/functions/f/invoke",
    "http://localhost:4318/v1/traces",
    "http://localhost:8123/?query=INSERT",
    "https://api.mailgun.net/v3/example.org/messages",
    "https://shop.internal/v1/messages",
    "http://[broken/v1/chat/completions",
    "",
)


@pytest.mark.parametrize("url", CALLS)
def test_inference_endpoints_are_model_calls(url: str) -> None:
    assert is_model_call("POST", url, {}, ModelHosts())
    assert is_model_call("post", url, {}, ModelHosts())


@pytest.mark.parametrize("url", OTHERS)
def test_everything_else_is_none(url: str) -> None:
    """Webhooks, databases, exporters and the cleanup of a model API itself have to go on."""
    assert not is_model_call("POST", url, {}, ModelHosts())


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
def test_reading_and_deleting_is_none(method: str) -> None:
    assert not is_model_call(method, "https://api.openai.com/v1/responses", {}, ModelHosts())


def test_anthropics_messages_behind_a_gateway_are_known_by_their_header() -> None:
    url = "https://gateway.internal/v1/messages"

    assert is_model_call("POST", url, {"Anthropic-Version": "2023-06-01"}, ModelHosts())
    assert not is_model_call("POST", url, {"content-type": "application/json"}, ModelHosts())


def test_hosts_of_ones_own_are_configured() -> None:
    hosts = ModelHosts(("llm.internal", "127.0.0.1:8080", "*.models.internal"))

    assert is_model_call("POST", "https://LLM.internal/messages", {}, hosts)
    assert is_model_call("POST", "http://127.0.0.1:8080/generate", {}, hosts)
    assert is_model_call("POST", "http://a.models.internal/embed", {}, hosts)
    assert not is_model_call("POST", "http://127.0.0.1:8081/generate", {}, hosts)
    assert not is_model_call("POST", "http://models.internal/embed", {}, hosts)
    assert not is_model_call("POST", "https://llm.internal/reload", {}, hosts)


@pytest.mark.parametrize("host", ["http://llm.internal", "llm.internal/v1", "", "a b"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="Fix: leave out scheme and path"):
        ModelHosts((host,))
