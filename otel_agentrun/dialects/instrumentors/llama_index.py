"""LlamaIndex: a span for every method; several of them make one call, some make none.

Source: Arize-ai/openinference, openinference-instrumentation-llama-index 4.6.1 with
llama-index-core 0.14; captures tests/captures/llamaindex.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.step import Kind, Role, SpanView

SCOPES: Final = ("openinference.instrumentation.llama_index",)
CHECKED: Final = "openinference-instrumentation-llama-index 4.6.1, llama-index-core 0.14.25"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "tokens of streamed model calls",
    "that a streamed call and the span of an instrumented client library are one, where they name "
    "different models (a deployment's) or the stream is read under another span",
    "the id of the model's answer",
    "tool call ids",
    "which agent of a workflow made a call",
)

AGENT_METHODS: Final = frozenset(
    {"chat", "achat", "stream_chat", "astream_chat", "query", "aquery", "run"}
)
"""What a caller calls; `_chat`, `run_step` and others are the agent at work."""
CHAT_ENGINE: Final = "ChatEngine"
HELPERS: Final = ("_prepare", "_get_", "get_tool_calls")
"""Methods of a model that call nobody: `_prepare_chat_with_tools`."""
STREAMS: Final = ("stream", "astream")
"""Methods of a model whose span ends before the stream begins: its client is asked when somebody
reads it."""
INNER_RETRIEVALS: Final = frozenset({"_retrieve", "_aretrieve"})
"""`retrieve` calls it, and both are RETRIEVER."""
STREAMED: Final = ('{"response_gen":', "<generator object", "<async_generator object")
"""What a streamed answer is when the call returns."""
CURRENT_AGENT: Final = re.compile(r"current_agent_name='([^']{1,200})'")


def kind(span: SpanView, stated: str) -> Kind | None:
    owner, _, method = span.name.rpartition(".")
    if stated == "LLM":
        return kinds.OTHER if method.startswith(HELPERS) else None
    if stated == "EMBEDDING":
        # Of a query, in a retrieval: its cost is unknown, and the retrieval is one step.
        return kinds.OTHER if "query_embedding" in method else None
    if stated == "RETRIEVER":
        return kinds.OTHER if method in INNER_RETRIEVALS else None
    if stated == "CHAIN" and owner.endswith(CHAT_ENGINE):
        return kinds.RUN if method in AGENT_METHODS else None
    if stated == "CHAIN":
        return kinds.RUN if method == "run" and not owner.endswith("Pipeline") else None
    if stated == "AGENT":
        return None if method in AGENT_METHODS else kinds.OTHER
    return None


def role(span: SpanView, kind: Kind) -> Role | None:
    if kind is kinds.MODEL:
        return kinds.OPENING if span.name.rpartition(".")[2].startswith(STREAMS) else None
    if kind is kinds.RUN:
        is_workflow = span.name.rpartition(".")[0].endswith(("Workflow", CHAT_ENGINE))
        return kinds.WORKFLOW if is_workflow else kinds.AGENT
    return None


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.RUN:
        # A class; the first step below says which agent it is.
        found.pop("agent_name", None)
    elif kind is kinds.OTHER:
        if span.name.endswith(".setup_agent") and (
            matched := CURRENT_AGENT.search(span.text("input.value"))
        ):
            found["agent_name"] = matched.group(1)
    elif kind is kinds.TOOL:
        sent = found.get("output")
        if isinstance(sent, str) and '"is_error": true' in sent:
            found.setdefault("status", "error")


def content(span: SpanView, kind: Kind) -> Mapping[str, Any]:
    """A workflow's input is its own state and its output is cut: the model calls show both, as
    they do of an answer that is streamed.  A chat engine's are its parameters and its object."""
    given, made = span.text("input.value"), span.text("output.value")
    if kind is kinds.RUN and given.startswith('{"init_state"'):
        return {"input": None, "output": None}
    out: dict[str, Any] = {}
    for field, role_, key, text in (
        ("messages_in", "user", "message", given),
        ("messages_out", "assistant", "response", made),
    ):
        value = arguments.parse(text) if text.startswith(f'{{"{key}":') else None
        if isinstance(value, Mapping) and isinstance(value.get(key), str):
            out[field] = [{"role": role_, "content": value[key]}]
    if made.startswith(STREAMED):
        out["output"] = None
    return out
