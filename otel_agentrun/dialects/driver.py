"""Reads a span through a dialect's tables.

A dialect is a module: `NAME`, `KEYS`, `recognizes(span)`, `kind(span)`, `role(span, kind)`, and
only what it needs of `ALSO_READ`, `PREFIXES`, `EVENTS`, `derive`, `usage`, `tool_requests` (hot
path) and `CONTENT`, `CONTENT_PREFIXES`, `content` (read path).  Nothing is inherited;
docs/dialects.md shows how to write one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, cast

from otel_agentrun import arguments, semconv
from otel_agentrun.dialects import kinds
from otel_agentrun.dialects import labels as run_labels
from otel_agentrun.dialects.handoffs import is_handoff, target
from otel_agentrun.dialects.messages import finish_reasons
from otel_agentrun.dialects.status import outcome
from otel_agentrun.dialects.tables import STATUS_KEYS, TOKENS, Found, Labels, Table, scan
from otel_agentrun.step import Kind, Role, SpanView, Step, ToolRequest, Usage, as_text
from otel_agentrun.structure import structure as structure_of


class Dialect:
    """A dialect module, its tables compiled for reading."""

    def __init__(self, module: ModuleType) -> None:
        self.name: str = module.NAME
        self.recognizes: Callable[[SpanView], bool] = module.recognizes
        self.kind: Callable[[SpanView], Kind] = module.kind
        self.role: Callable[[SpanView, Kind], Role] = module.role
        optional = module.__dict__
        self.derive: Callable[[SpanView, Kind, Found, Labels], None] | None = optional.get("derive")
        self.usage: Callable[[SpanView, Found], Usage | None] = optional.get("usage", table_usage)
        self.tool_requests: Callable[[SpanView, Found], tuple[ToolRequest, ...]] | None = (
            optional.get("tool_requests")
        )
        self.content: Callable[..., Mapping[str, Any]] | None = optional.get("content")
        self.content_keys: Mapping[str, tuple[str, ...]] = optional.get("CONTENT", {})
        self.content_prefixes: tuple[str, ...] = tuple(optional.get("CONTENT_PREFIXES", ()))
        self.also_read: frozenset[str] = frozenset(optional.get("ALSO_READ", ()))
        self.event_names: frozenset[str] = frozenset(optional.get("EVENTS", ()))
        self.table = Table(module.KEYS, optional.get("PREFIXES", {}))

    def reads(self, key: str) -> bool:
        """Does `step()` need this key?  An input only adds its size: see `reads_of_root`."""
        if key in self.also_read or key in STATUS_KEYS:
            return True
        entry = self.table[key]
        return entry is not None and entry[0] != "input"

    def reads_of_root(self, key: str) -> bool:
        entry = self.table[key]
        return entry is not None and entry[0] == "input"


def table_usage(span: SpanView, found: Found) -> Usage | None:
    """Tokens as the table found them; `None` when the emitter gave none."""
    if TOKENS_FOUND.isdisjoint(found):
        return None
    get = found.get
    draft = _UsageDraft(
        get(TOKENS[0]), get(TOKENS[1]), get(TOKENS[2]), get(TOKENS[3]), get(TOKENS[4])
    )
    draft.__class__ = Usage
    return cast(Usage, draft)


TOKENS_FOUND: Final = frozenset(TOKENS)


def _twin(cls: type[Any]) -> Any:
    """A mutable class with the slots of a frozen one.

    The `__init__` of a frozen dataclass costs 4.5 µs at 36 fields, this one's 0.7 µs; an instance
    becomes a frozen one by assigning its `__class__`, which CPython allows where slots are equal.
    """
    specs: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            default: Any = None  # always assigned by the caller
        else:
            default = field.default
        specs.append((field.name, Any, dataclasses.field(default=default)))
    return dataclasses.make_dataclass(cls.__name__, specs, slots=True, eq=False)


_StepDraft = _twin(Step)
_UsageDraft = _twin(Usage)
_interner = run_labels.Interner()


def read(span: SpanView, dialect: Dialect) -> Step:
    """The step of one span."""
    found, labels = scan(span, dialect.table)
    kind = dialect.kind(span)
    role = dialect.role(span, kind)
    if dialect.derive is not None:
        dialect.derive(span, kind, found, labels)
    get = found.get
    usage: Usage | None = None
    requests: tuple[ToolRequest, ...] = ()
    reasons: tuple[str, ...] = ()
    tool_name = handoff_to = arguments_digest = result_digest = structure = ""
    cost: int | None = None
    hit_count: int | None = None
    if kind is kinds.MODEL:
        usage = dialect.usage(span, found)
        reasons = get("finish_reasons", ())
        if reasons:
            reasons = finish_reasons(reasons)
        if dialect.tool_requests is not None:
            requests = dialect.tool_requests(span, found)
        # An emitter that has no price for a model reports 0 (OpenLIT): that says nothing.
        cost = get("cost", get("reported_cost") or None)
    elif kind is kinds.TOOL:
        tool_name = get("tool_name", "")
        given = get("arguments")
        arguments_digest = get("arguments_hash", "") or arguments.digest(given)
        result_digest = get("result_hash", "") or arguments.result_digest(get("result"))
        if role is kinds.HANDOFF or is_handoff(tool_name):
            role = kinds.HANDOFF
            handoff_to = get("handoff_to", "") or target(tool_name, given)
        cost = get("cost")
    elif kind is kinds.RETRIEVE:
        hit_count = get("hit_count")
        cost = get("cost")
    elif kind is kinds.RUN:
        usage = dialect.usage(span, found)
        structure = _structure(found)
    else:
        cost = get("cost") if kind is not kinds.OTHER else None
        if kind is kinds.OTHER:
            usage = dialect.usage(span, found)
    status, error_type, message = outcome(span, get("status", ""), get("error_type", ""))
    if "prompt_version" in found and "prompt_name" in found:
        run_labels.with_prompt(labels, found["prompt_name"], found["prompt_version"])
    if "tags" in found:
        run_labels.with_tags(labels, found["tags"])
    ingest = span.ingest
    draft = _StepDraft(span.trace_id, span.span_id)
    draft.parent_span_id = span.parent_span_id
    draft.version = span.version
    draft.kind = kind
    draft.role = role
    draft.dialect = dialect.name
    draft.name = span.name
    draft.start_ns = span.start_ns
    draft.end_ns = span.end_ns
    draft.status = status
    draft.error_type = error_type
    draft.error_message = message
    draft.run_id = get("run_id", "")
    draft.step_id = get("step_id", 0)
    draft.agent_name = get("agent_name", "")
    draft.agent_id = get("agent_id", "")
    if ingest:
        draft.run_id = draft.run_id or _ingested(ingest, semconv.RUN_ID)
        draft.agent_id = draft.agent_id or _ingested(ingest, semconv.AGENT_ID)
    draft.provider = get("provider", "")
    draft.model = get("model", "")
    draft.usage = usage
    draft.response_id = get("response_id", "")
    draft.finish_reasons = reasons
    draft.tool_requests = requests
    draft.tool_name = tool_name
    draft.tool_call_id = get("tool_call_id", "") if kind is kinds.TOOL else ""
    draft.arguments_digest = arguments_digest
    draft.result_digest = result_digest
    sent = get("input") or get("arguments")
    if sent:
        draft.input_bytes = _size(sent)
    sent = get("output") or get("result")
    if sent:
        draft.output_bytes = _size(sent)
    draft.hit_count = hit_count
    draft.attempt = get("attempt", 0)
    draft.retry_reason = get("retry_reason", "")
    draft.handoff_to = handoff_to
    draft.cost_nano_usd = cost
    draft.payment_nano_usd = get("payment", 0)
    draft.revenue_nano_usd = get("revenue", 0)
    draft.input_structure = structure
    if span.links:
        draft.links = tuple(span.links)
    draft.labels = _interner.merge(labels, span.resource, ingest)
    draft.__class__ = Step
    return cast(Step, draft)


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
