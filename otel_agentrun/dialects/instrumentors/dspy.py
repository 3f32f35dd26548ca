"""DSPy: modules call modules, and every one of them is a CHAIN.

Source: Arize-ai/openinference, openinference-instrumentation-dspy 0.1.48 with dspy 3.4; captures
tests/captures/dspy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import kinds
from otel_agentrun.step import Kind, Role, SpanView

SCOPES: Final = ("openinference.instrumentation.dspy",)
CHECKED: Final = "openinference-instrumentation-dspy 0.1.48, dspy 3.4.1"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "tokens of any kind",
    "tool call ids, and which tools the model asked for (they are in its text)",
    "the name of the agent, other than its module",
)


CALLS: Final = (".forward", ".aforward")
AGENTS: Final = tuple(f"{module}{call}" for module in ("ReAct", "CodeAct") for call in CALLS)
"""The library's own modules that call tools."""
WORKINGS: Final = frozenset({"trajectory", "reasoning"})
"""Fields of an answer that say how it came about."""


def kind(span: SpanView, stated: str) -> Kind | None:
    """The outermost module is the run; which of the user's own is an agent, nothing says."""
    if stated != "CHAIN" or not span.name.endswith(CALLS):
        return None
    return kinds.RUN if not span.parent_span_id or span.name in AGENTS else None


def role(span: SpanView, kind: Kind) -> Role | None:
    return kinds.AGENT if kind is kinds.RUN and span.name in AGENTS else None


def content(span: SpanView, kind: Kind) -> Mapping[str, Any]:
    """The one text among a signature's fields."""
    if kind is not kinds.RUN:
        return {}
    given, made = (_fields(span.text(key)) for key in ("input.value", "output.value"))
    said = {"messages_in": ("user", _text(given)), "messages_out": ("assistant", _text(made))}
    return {
        field: [{"role": role_, "content": text}] for field, (role_, text) in said.items() if text
    }


def _fields(text: str) -> Mapping[str, Any]:
    value = arguments.parse(text) if text else None
    if isinstance(value, Mapping) and isinstance(value.get("input_args"), Mapping):
        value = value["input_args"]
    return value if isinstance(value, Mapping) else {}


def _text(fields: Mapping[str, Any]) -> str:
    said = [value for name, value in fields.items() if name not in WORKINGS]
    return said[0] if len(said) == 1 and isinstance(said[0], str) else ""
