"""A tool call that is about to begin, as policies judge it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context

__all__ = ["Call", "Judged", "call_of", "call_within", "with_call"]

KEY: Final = otel_context.create_key("agentrun-call")

Judged = Literal["", "allowed", "approved"]
"""What policies said of a call before its span starts; "" nothing yet."""


class Call(NamedTuple):
    """None and `""` for what is not known."""

    name: str
    call_id: str = ""
    agent: str = ""
    arguments: Mapping[str, object] | None = None
    """The real ones, where the tool is one of ours."""
    is_exact: bool = False
    """`name` is the tool's, and not a span's."""


def with_call(call: Call, judged: Judged, context: Context) -> Context:
    """The context that the span of a tool of ours starts in: attributes may be redacted or cut."""
    return otel_context.set_value(KEY, (call, judged), context)


def call_within(context: Context | None) -> tuple[Call, Judged] | None:
    """What `with_call` put there, or around it."""
    found: Any = otel_context.get_value(KEY, context)
    return found  # type: ignore[no-any-return]  # only `with_call` sets the key


def call_of(stated: Mapping[str, Any], span_name: str) -> Call:
    """What a span that begins says of the call it may be."""
    name = stated.get("gen_ai.tool.name") or stated.get("tool.name") or ""
    return Call(
        name=str(name or span_name),
        call_id=str(stated.get("gen_ai.tool.call.id") or ""),
        agent=str(stated.get("gen_ai.agent.name") or ""),
        is_exact=bool(name),
    )
