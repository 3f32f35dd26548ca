"""Spans of the Vercel AI SDK (TypeScript), versions 4, 5 and 6.

Source: vercel/ai, packages/ai/src: `recordSpan`, `getBaseTelemetryAttributes` and the attributes of
`generateText`, `streamText`, `generateObject`, `streamObject`, `embed`, `embedMany`, `rerank`, in
ai 4.3.19, 5.0.277 and 6.0.326; captures tests/captures/vercel-ai, vercel-ai-v4 and vercel-ai-v5.

A `generateText` is a run with one `doGenerate` per step and its tool calls below it; an agent that
a tool calls is a `generateText` of another `functionId` below the `ai.toolCall`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import kinds, messages
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.labels import chosen
from otel_agentrun.dialects.raw_usage import load
from otel_agentrun.dialects.tables import Found, Labels, as_count
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, Usage

NAME: Final = "vercel_ai"
CHECKED: Final = "ai 4.3.19, 5.0.277 and 6.0.326 (OpenAI chat completions and Responses API)"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "That a run stopped at its step limit: it ends like any other, with `tool-calls` as its last "
    "finish reason.",
    "5 and 6, an aborted stream: the call that was under way; its span is never sent.",
    "4, streaming: tokens, unless the provider is asked for usage (they are NaN).",
    "5, `generateText` and `generateObject`, and 6, `generateObject`: reasoning tokens, and cached "
    "ones but Anthropic's.",
    "4 and 5: totals of a run; its span holds the usage of its last step, which is not read.",
    "The service beyond `service.name`, and which agents there are without a `functionId`.",
)

OPERATION: Final = "ai.operationId"
METADATA: Final = "ai.telemetry.metadata."
NO_CACHE: Final = "ai.usage.inputTokenDetails.noCacheTokens"
USER_AGENT: Final = "ai.request.headers.user-agent"
TOTAL: Final = "ai.usage.inputTokens"
REQUESTED: Final = "ai.response.toolCalls"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "provider": ("gen_ai.system", "ai.model.provider"),
    "model": (
        "gen_ai.response.model", "ai.response.model", "gen_ai.request.model", "ai.model.id",
    ),
    "input_tokens": (
        "ai.usage.inputTokens", "gen_ai.usage.input_tokens", "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    "output_tokens": (
        "ai.usage.outputTokens", "gen_ai.usage.output_tokens", "ai.usage.completionTokens",
    ),
    "cache_read_tokens": (
        "ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens",
    ),
    "cache_write_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
    "reasoning_tokens": (
        "ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens",
    ),
    "provider_metadata": ("ai.response.providerMetadata",),
    "response_id": ("gen_ai.response.id", "ai.response.id"),
    "finish_reasons": ("ai.response.finishReason", "gen_ai.response.finish_reasons"),
    "agent_name": ("ai.telemetry.functionId", "resource.name"),
    "tool_name": ("ai.toolCall.name",),
    "tool_call_id": ("ai.toolCall.id",),
    "arguments": ("ai.toolCall.args",),
    "result": ("ai.toolCall.result",),
    "documents": ("ai.ranking",),
    "requested": (REQUESTED,),
    "input": ("ai.prompt", "ai.prompt.messages"),
    "output": ("ai.response.text", "ai.response.object"),
    "tags": (METADATA + "tags",),
}  # fmt: skip
ALSO_READ: Final = frozenset({OPERATION, NO_CACHE, USER_AGENT})

STREAM: Final = "ai.streamText"
RUNS: Final = ("ai.generateText", STREAM, "ai.generateObject", "ai.streamObject")
CALLS: Final = (
    "ai.generateText.doGenerate", "ai.streamText.doStream", "ai.generateObject.doGenerate",
    "ai.streamObject.doStream", "ai.embed.doEmbed", "ai.embedMany.doEmbed",
)  # fmt: skip
KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(RUNS, kinds.RUN),
    **dict.fromkeys(CALLS, kinds.MODEL),
    "ai.toolCall": kinds.TOOL,
    "ai.rerank.doRerank": kinds.RETRIEVE,
}
"""Operation -> kind; `ai.embed`, `ai.embedMany` and `ai.rerank` are wrappers, OTHER."""

CACHED_APART: Final = ("anthropic", "amazon-bedrock", "vertex.anthropic")
"""Providers whose input tokens leave out cached ones, before version 6."""
IN_METADATA: Final[Mapping[str, tuple[str, ...]]] = {
    "cache_read_tokens": (
        "cachedPromptTokens", "cacheReadInputTokens", "cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        "cacheCreationInputTokens", "cacheWriteInputTokens", "cache_creation_input_tokens",
    ),
    "reasoning_tokens": ("reasoningTokens",),
}  # fmt: skip
"""Counts that versions 4 and 5 leave to the metadata of a provider, or to its `usage`."""

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    "output": ("ai.response.text", "ai.response.object"),
    "arguments": ("ai.toolCall.args",),
}
CONTENT_PREFIXES: Final = (
    "ai.prompt", "ai.response.", "ai.settings.", "ai.value", "ai.documents", "ai.ranking",
)  # fmt: skip


def recognizes(span: SpanView) -> bool:
    return OPERATION in span.attributes


def kind(span: SpanView) -> Kind:
    stated = span.attributes.get(OPERATION)
    return KINDS.get(stated, kinds.OTHER) if type(stated) is str else kinds.OTHER


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.AGENT if kind is kinds.RUN else kinds.NO_ROLE


def label(key: str) -> str:
    """Metadata of the application, whose names are its own."""
    name = key[len(METADATA) :] if key.startswith(METADATA) else ""
    return chosen(name) if name and name != "tags" else ""


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if "provider" in found:
        # `openai.chat`, `openai.responses`, `google.generative-ai`: a provider and its API.
        stated = found["provider"].lower()
        found["provider"] = stated.partition(".")[0]
        found["cached_apart"] = stated.startswith(CACHED_APART)
    if kind is kinds.RETRIEVE:
        ranked = arguments.parse(found["documents"]) if "documents" in found else None
        if isinstance(ranked, list):
            found["hit_count"] = len(ranked)
    elif kind is kinds.RUN:
        is_stream = span.attributes.get(OPERATION) == STREAM
        if is_stream and "finish_reasons" not in found and span.status_code != "Error":
            # It ended before a step did: aborted, unless a call below it failed.
            found.setdefault("status", "cancelled")
    elif kind is kinds.MODEL and "requested" in found:
        found.setdefault("output", found["requested"])


def usage(span: SpanView, found: Found) -> Usage | None:
    get = found.get
    if span.attributes.get(OPERATION) in RUNS and TOTAL not in span.attributes:
        return None  # of the last step alone
    if "input_tokens" in found and "provider_metadata" in found:
        for field, count in _in_metadata(found["provider_metadata"]).items():
            found.setdefault(field, count)
    if get("cached_apart") and "input_tokens" in found and not _is_6(span):
        for field in ("cache_read_tokens", "cache_write_tokens"):
            found["input_tokens"] += get(field, 0)
    return table_usage(span, found)


def _is_6(span: SpanView) -> bool:
    """Version 6 or later: its input tokens are what all providers mean by them."""
    if NO_CACHE in span.attributes:
        return True
    matched = MAJOR.match(span.text(USER_AGENT))
    return matched is not None and int(matched.group(1)) >= 6


MAJOR: Final = re.compile(r"ai/(\d{1,4})\.")


def _in_metadata(sent: Any) -> dict[str, int]:
    if not any(name in sent for names in IN_METADATA.values() for name in names):
        return {}
    found: dict[str, int] = {}
    for of_provider in load(sent).values():
        inner = of_provider.get("usage") if isinstance(of_provider, Mapping) else None
        for source in (of_provider, inner):
            if not isinstance(source, Mapping):
                continue
            for field, names in IN_METADATA.items():
                for name in names:
                    count = as_count(source[name]) if name in source else None
                    if count is not None:
                        found.setdefault(field, count)
    return found


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    sent = found.get("requested")
    return messages.tool_requests([_asking(sent)]) if sent else ()


def _asking(sent: Any) -> messages.Message:
    """The answer that asks for the calls of `ai.response.toolCalls`."""
    listed = arguments.parse(sent) if isinstance(sent, str) else sent
    return messages.with_calls({"role": "assistant"}, listed if isinstance(listed, list) else ())


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out: dict[str, Any] = {}
    if kind is kinds.RUN:
        out |= _prompt(span.get("ai.prompt"))
    elif kind is kinds.MODEL:
        out["messages_in"] = messages.parse(span.get("ai.prompt.messages")) or _texts(span)
        answer = _asking(span.get(REQUESTED))
        for field, key in (("content", "ai.response.text"), ("reasoning", "ai.response.reasoning")):
            if text := span.text(key):
                answer[field] = text
        if "content" not in answer and (made := span.text("ai.response.object")):
            answer["content"] = made
        if reason := span.text("ai.response.finishReason"):
            answer["finish_reason"] = messages.finish_reason(reason)
        out["messages_out"] = [answer] if len(answer) > 1 else None
        out["tools_offered"] = span.get("ai.prompt.tools")
    elif kind is kinds.TOOL:
        out["result"] = arguments.parse(span.text("ai.toolCall.result"))  # a string has its quotes
    elif kind is kinds.RETRIEVE:
        out |= _ranking(span)
    return {field: value for field, value in out.items() if value not in ("", None, [], {})}


def _texts(span: SpanView) -> list[messages.Message]:
    """What an embedding call was given."""
    sent = span.strings("ai.values") or span.strings("ai.value")
    return [{"role": "user", "content": str(arguments.parse(text))} for text in sent]


def _prompt(sent: Any) -> Mapping[str, Any]:
    """A run's prompt: `{system, prompt}` or `{system, messages}`."""
    asked = arguments.parse(sent) if isinstance(sent, str) else sent
    if not isinstance(asked, Mapping):
        return {"input": sent}
    given = asked.get("messages", asked.get("prompt"))
    system = asked.get("system")
    listed = given if isinstance(given, list) else [{"role": "user", "content": given}]
    return {
        "messages_in": messages.parse(listed) if given else None,
        "system_instructions": system.get("content") if isinstance(system, Mapping) else system,
    }


def _ranking(span: SpanView) -> Mapping[str, Any]:
    """The documents in the order that they were ranked in: `{index, relevanceScore}` of each."""
    given = [arguments.parse(text) for text in span.strings("ai.documents")]
    documents = []
    for text in span.strings("ai.ranking"):
        one = arguments.parse(text)
        at = one.get("index") if isinstance(one, Mapping) else None
        if isinstance(at, int) and 0 <= at < len(given):
            document = given[at]
            fields = dict(document) if isinstance(document, Mapping) else {"text": document}
            documents.append({**fields, "reranker_score": one.get("relevanceScore")})
    return {"documents": documents}
