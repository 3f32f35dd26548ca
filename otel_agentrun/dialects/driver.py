"""Reads a span through its dialect: the one place where a `Step` is made of what was found.

The hot path of the collector: a span costs it 2 to 4 µs.  `Step(...)` with forty keywords would
take two of them, so the fields are assigned one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from otel_agentrun import arguments, semconv
from otel_agentrun.dialects import kinds
from otel_agentrun.dialects import labels as run_labels
from otel_agentrun.dialects.handoffs import is_handoff, target
from otel_agentrun.dialects.messages import finish_reasons, text_of
from otel_agentrun.dialects.shapes import Shape, values
from otel_agentrun.dialects.soft_errors import TOOL_ERROR
from otel_agentrun.dialects.status import first_line, outcome
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.sketch import sketch
from otel_agentrun.step import SpanView, Step, as_text
from otel_agentrun.structure import structure as structure_of
from otel_agentrun.typed_errors import typed_error

RARE: Final = frozenset(
    {
        "run_id", "step_id", "agent_id", "attempt", "retry_reason", "payment", "revenue", "cost",
        "reported_cost", "prompt_version", "tool_version", "tags",
    }
)  # fmt: skip
"""Fields that few spans have: one test tells that a span has none of them."""
STATED: Final = frozenset({"status", "error_type"})
PRICED: Final = frozenset({kinds.MODEL, kinds.TOOL, kinds.RETRIEVE, kinds.PLAN, kinds.VALIDATE})

_interner = run_labels.Interner()
_new = object.__new__


def forget() -> None:
    """Other keys state labels from now on."""
    _interner.__init__()  # type: ignore[misc]  # start over with empty caches


def read(span: SpanView, shape: Shape) -> Step:
    """The step of one span."""
    dialect = shape.dialect
    found: Found = values(shape.fields, span.attributes)
    labels: Labels = values(shape.labels, span.attributes) if shape.labels else {}
    kind = dialect.kind(span)
    role = dialect.role(span, kind)
    if dialect.derive is not None:
        dialect.derive(span, kind, found, labels)
    get = found.get

    step: Any = _new(Step)  # frozen once it is returned
    step.trace_id = span.trace_id
    step.span_id = span.span_id
    step.parent_span_id = span.parent_span_id
    step.version = span.version
    step.kind = kind
    step.role = role
    step.dialect = dialect.name
    step.scope = shape.scope
    step.name = span.name
    step.start_ns = span.start_ns
    step.end_ns = span.end_ns
    step.links = tuple(span.links) if span.links and dialect.joins_by_links else ()
    if span.status_code == "Error" or span.events or not STATED.isdisjoint(found):
        stated, error = get("status", ""), get("error_type", "")
        said = get("error_message", "")
        step.status, step.error_type, step.error_message = outcome(span, stated, error, said)
    else:
        step.status = kinds.SUCCESS
        step.error_type = step.error_message = ""
    step.agent_name = get("agent_name", "")
    step.provider = get("provider", "")
    step.model = get("model", "")
    step.response_id = get("response_id", "")

    step.usage = None
    step.finish_reasons = step.tool_requests = ()
    step.tool_name = step.tool_call_id = step.arguments_digest = step.result_digest = ""
    step.arguments_sketch = ""
    step.handoff_to = step.input_structure = step.endpoint = ""
    step.hit_count = None
    if kind is kinds.MODEL:
        step.usage = dialect.usage(span, found)
        reasons = get("finish_reasons")
        if reasons:
            step.finish_reasons = finish_reasons(reasons)
        if dialect.tool_requests is not None:
            step.tool_requests = dialect.tool_requests(span, found)
    elif kind is kinds.TOOL:
        _add_tool(step, found)
        if step.status is kinds.ERROR:
            _explain_tool_error(step, found)
    elif kind is kinds.RETRIEVE:
        step.hit_count = get("hit_count")
        step.arguments_sketch = sketch(get("query") or get("arguments"))
    elif kind is kinds.RUN:
        step.usage = dialect.usage(span, found)
        step.input_structure = _structure(found)
    elif kind is kinds.OTHER:
        step.usage = dialect.usage(span, found)
        if "endpoint" in found and span.kind == "Client":  # a server span's URL is its own
            step.endpoint = found["endpoint"].partition("?")[0]
        if role is kinds.FUNCTION:  # perhaps a tool
            step.arguments_digest = arguments.digest(get("arguments"))
            step.arguments_sketch = sketch(get("arguments"))
            step.result_digest = arguments.result_digest(get("output"))
    sent = get("input") or get("arguments")
    step.input_bytes = _size(sent) if sent else 0
    sent = get("output") or get("result")
    step.output_bytes = _size(sent) if sent else 0

    step.run_id = step.agent_id = step.retry_reason = ""
    step.step_id = step.attempt = step.payment_nano_usd = step.revenue_nano_usd = 0
    step.cost_nano_usd = None
    if not RARE.isdisjoint(found):
        _add_rare(step, found, labels)
    ingest = span.ingest
    if ingest:
        step.run_id = step.run_id or _ingested(ingest, semconv.RUN_ID)
        step.agent_id = step.agent_id or _ingested(ingest, semconv.AGENT_ID)
    step.labels = _interner.merge(labels, span.resource, ingest)
    return cast(Step, step)


def _add_tool(step: Any, found: Found) -> None:
    get = found.get
    name = step.tool_name = get("tool_name", "")
    given = get("arguments")
    step.tool_call_id = get("tool_call_id", "")
    step.arguments_digest = get("arguments_hash", "") or arguments.digest(given)
    step.arguments_sketch = sketch(given)
    step.result_digest = get("result_hash", "") or arguments.result_digest(get("result"))
    if step.role is kinds.HANDOFF or is_handoff(name):
        step.role = kinds.HANDOFF
        step.handoff_to = get("handoff_to", "") or target(name, given)


def _explain_tool_error(step: Any, found: Found) -> None:
    """What its span does not say of a failed call, from its arguments and its result."""
    given = found.get("arguments")
    if type(given) is str and given[:1] == "{" and type(arguments.parse(given)) is str:
        step.error_type = "malformed_call"
    if not step.error_message and "result" in found:
        step.error_message = first_line(text_of(found["result"]) or "")
        typed = typed_error(step.error_type, step.error_message)
        if typed and step.error_type in ("", TOOL_ERROR):
            step.error_type = typed


def _add_rare(step: Any, found: Found, labels: Labels) -> None:
    get = found.get
    step.run_id = get("run_id", "")
    step.step_id = get("step_id", 0)
    step.agent_id = get("agent_id", "")
    step.attempt = get("attempt", 0)
    step.retry_reason = get("retry_reason", "")
    step.payment_nano_usd = get("payment", 0)
    step.revenue_nano_usd = get("revenue", 0)
    if step.kind in PRICED:
        step.cost_nano_usd = get("cost")
    if step.kind is kinds.MODEL and step.cost_nano_usd is None:
        # An emitter that has no price for a model reports 0 (OpenLIT): that says nothing.
        step.cost_nano_usd = get("reported_cost") or None
    if "prompt_version" in found and "prompt_name" in found:
        run_labels.with_prompt(labels, found["prompt_name"], found["prompt_version"])
    if "tool_version" in found:
        labels["tool_version"] = found["tool_version"]
    if "tags" in found:
        run_labels.with_tags(labels, found["tags"])


def _ingested(ingest: Mapping[str, Any], key: str) -> str:
    value = ingest.get(key)
    return as_text(value) if value is not None else ""


def _size(value: Any) -> int:
    """UTF-8 bytes of a value as text."""
    text = value if type(value) is str else as_text(value)
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _structure(found: Found) -> str:
    """Keys, types and lengths of a run's input, from the emitter or from what it sent."""
    if "input_structure" in found:
        return cast(str, found["input_structure"])
    value = found.get("input")
    return "" if value is None else structure_of(value if type(value) is str else as_text(value))
