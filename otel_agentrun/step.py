"""Frozen values that rules and run totals read: one `Step` per span, and the view dialects read.

A `Step` holds canonical fields, digests and sizes, never content: content goes straight to the
store and is read back from there.  Vocabulary: docs/architecture.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar, dataclass_transform

__all__ = [
    "Event", "Kind", "Role", "SpanEvent", "SpanView", "Status", "Step", "ToolRequest", "Usage",
]  # fmt: skip


class Kind(StrEnum):
    """What a span is within a run; the first six appear as `agentrun.step.kind`."""

    RUN = "run"
    PLAN = "plan"
    MODEL = "model"
    TOOL = "tool"
    RETRIEVE = "retrieve"
    VALIDATE = "validate"
    OTHER = "other"


COUNTED: Final = frozenset({Kind.PLAN, Kind.MODEL, Kind.TOOL, Kind.RETRIEVE, Kind.VALIDATE})
"""Kinds that count as steps; `run` and `other` are listed, not counted."""


class Status(StrEnum):
    """How a step ended."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


FAILED: Final = frozenset({Status.ERROR, Status.TIMEOUT})


class Role(StrEnum):
    """What identity rules need to know about a step beyond its kind."""

    NONE = ""
    AGENT = "agent"
    """A RUN step that is one agent invocation of a framework."""
    WORKFLOW = "workflow"
    """A RUN step that wraps agents (a trace or workflow span); it adopts a lone agent below it."""
    SDK = "sdk"
    """A RUN step opened by `agentrun.run()`; adopts like a workflow."""
    TRANSPORT = "transport"
    """HTTP, RPC, database or messaging plumbing: kept in the tree, says nothing about the agent."""
    HANDOFF = "handoff"
    """A TOOL step that hands the task to another agent."""
    NODE = "node"
    """A framework's graph node or inner wrapper, whatever the emitter calls it."""
    FUNCTION = "function"
    """A function of the application's that does not say what it is: a tool, if a model of the trace
    asked for one of its name."""
    RESPONSE = "response"
    """The step that gives the final answer (`run.respond()` of our SDK)."""
    TOLD = "told"
    """A call without a span of its own, known from what another span holds; it counts in a run
    that has no span of that kind."""
    OPENING = "opening"
    """What a streamed call is until its stream begins; the rest of it is beside this step.  Of kind
    MODEL where it may be all that is recorded, OTHER where its own emitter sends a CLOSING."""
    CLOSING = "closing"
    """A MODEL step that only tells of the end of a stream: it has no length."""


T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A frozen dataclass of which there is one per span.

    The type checker enforces it; enforcing it at run time, too, takes 3.5 of 4.5 microseconds.
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(cls)


@value
class Usage:
    """Tokens of one model call.  Input includes cached ones, output includes reasoning.

    `None` is "the emitter did not say", which is not zero.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


@value
class ToolRequest:
    """A tool call as the model asked for it."""

    name: str
    call_id: str = ""
    arguments_digest: str = ""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """One event of a span as the emitter sent it."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


NOTHING: Final[Mapping[str, Any]] = {}
"""One object, as labels of resource and request are recognized by identity."""


class SpanView:
    """What a dialect sees of one span: scope, name, kind, and attribute values by key.

    `attributes` is any mapping: the collector gives text (its columns hold text), the processor the
    SDK's typed values; the typed getters accept both.  `resource` and `ingest` (values of the
    export request: API key and headers) give a step's labels and must not change once given: they
    are recognized by identity.
    """

    __slots__ = (
        "attributes", "end_ns", "events", "ingest", "kind", "links", "name", "parent_span_id",
        "resource", "scope", "scope_version", "span_id", "start_ns", "status_code",
        "status_message", "trace_id", "version",
    )  # fmt: skip

    def __init__(
        self,
        *,
        trace_id: str,
        span_id: str,
        parent_span_id: str = "",
        name: str = "",
        kind: str = "Internal",
        scope: str = "",
        scope_version: str = "",
        start_ns: int = 0,
        end_ns: int = 0,
        status_code: str = "Unset",
        status_message: str = "",
        attributes: Mapping[str, Any],
        resource: Mapping[str, Any] | None = None,
        ingest: Mapping[str, Any] | None = None,
        events: Sequence[SpanEvent] = (),
        links: Sequence[tuple[str, str]] = (),
        version: int = 0,
    ) -> None:
        """`kind` and `status_code` are spelled as in `otel_traces` (`Client`, `Error`)."""
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_span_id = parent_span_id
        self.name = name
        self.kind = kind
        self.scope = scope
        self.scope_version = scope_version
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.status_code = status_code
        self.status_message = status_message
        self.attributes = attributes
        self.resource: Mapping[str, Any] = NOTHING if resource is None else resource
        self.ingest: Mapping[str, Any] = NOTHING if ingest is None else ingest
        self.events = events
        self.links = links
        self.version = version

    def has(self, key: str) -> bool:
        return key in self.attributes

    def get(self, key: str) -> Any:
        """The value as it came (text or typed), or `None`."""
        return self.attributes.get(key)

    def text(self, *keys: str) -> str:
        """The first of `keys` that is present and not empty, as text; else ""."""
        for key in keys:
            value = self.attributes.get(key)
            if value is not None and value != "":
                return value if isinstance(value, str) else as_text(value)
        return ""

    def integer(self, *keys: str) -> int | None:
        """The first of `keys` that holds a finite number, as an integer; NaN counts as absent."""
        for key in keys:
            value = self.attributes.get(key)
            if value is not None and value != "":
                try:
                    return int(value)
                except (TypeError, ValueError, OverflowError):
                    number = as_number(value)
                    if number is not None:
                        return int(number)
        return None

    def number(self, *keys: str) -> float | None:
        """The first of `keys` that holds a finite number."""
        for key in keys:
            number = as_number(self.attributes.get(key))
            if number is not None:
                return number
        return None

    def strings(self, *keys: str) -> tuple[str, ...]:
        """A string array: a sequence, a JSON array in text, or one bare value."""
        for key in keys:
            value = self.attributes.get(key)
            if value is None or value == "":
                continue
            if isinstance(value, str):
                if value[0] != "[":
                    return (value,)
                try:
                    value = json.loads(value)
                except ValueError:
                    return (value,)
            if isinstance(value, Sequence):
                return tuple(item if isinstance(item, str) else as_text(item) for item in value)
            return (as_text(value),)
        return ()


def as_text(value: object) -> str:
    """A value as `otel_traces` spells it: JSON for structures and booleans, `str` for numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | Mapping | list | tuple) or value is None:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
    return str(value)


def as_number(value: object) -> float | None:
    """A finite float from a number or its text; `None` for anything else, NaN included."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # any object: failure is the answer
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number - number == 0 else None


NO_LABELS: Final[Mapping[str, str]] = {}


@value
class Step:
    """One span as rules and totals see it.  Times are Unix nanoseconds, money nano-USD."""

    trace_id: str
    span_id: str
    parent_span_id: str = ""
    version: int = 0
    """Decides among several versions of one span: the greatest wins (see collector.model)."""
    kind: Kind = Kind.OTHER
    role: Role = Role.NONE
    dialect: str = ""
    scope: str = ""
    """Name of the instrumentation scope: two scopes may describe one call."""
    name: str = ""
    start_ns: int = 0
    end_ns: int = 0
    status: Status = Status.SUCCESS
    error_type: str = ""
    error_message: str = ""
    run_id: str = ""
    """Explicit `agentrun.run.id`: the *enclosing* run; "" when the emitter named none."""
    step_id: int = 0
    agent_name: str = ""
    agent_id: str = ""
    provider: str = ""
    model: str = ""
    """Response model when known, else the requested one."""
    usage: Usage | None = None
    response_id: str = ""
    finish_reasons: tuple[str, ...] = ()
    tool_requests: tuple[ToolRequest, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""
    arguments_digest: str = ""
    """16 hex of a digest over the canonical arguments (`arguments.digest`)."""
    arguments_sketch: str = ""
    """Hashes of the words of a tool's arguments, or of a retrieval's query (`sketch.sketch`); ""
    where no text was recorded."""
    result_digest: str = ""
    input_bytes: int = 0
    output_bytes: int = 0
    hit_count: int | None = None
    """Documents a retrieval returned."""
    attempt: int = 0
    retry_reason: str = ""
    handoff_to: str = ""
    cost_nano_usd: int | None = None
    """Cost that the emitter itself reported for this step."""
    payment_nano_usd: int = 0
    """What this step paid to a paid endpoint, as the emitter reported it; apart from its cost."""
    revenue_nano_usd: int = 0
    endpoint: str = ""
    """What a client span called: URL without query, else host; some endpoints are paid per call."""
    input_structure: str = ""
    """For a run's root: keys, types and lengths of its input as JSON, never values."""
    links: tuple[tuple[str, str], ...] = ()
    """(trace id, span id) of each span link."""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    """Run-level facts this span states, by run field name (`session_id`, `user_id`, `tags.<k>`,
    `prompt_versions.<name>`, ...) and of a tool call `tool_version`; equal mappings are shared
    between steps."""

    @property
    def key(self) -> tuple[int, str]:
        """Steps are ordered by (start time, span id)."""
        return (self.start_ns, self.span_id)

    @property
    def failed(self) -> bool:
        return self.status in FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a run: a log record with an event name, or a collector's decision.

    `event_id` is a digest of the content, so that a resent event is the same event.
    """

    event_id: str
    name: str
    at_ns: int
    trace_id: str = ""
    span_id: str = ""
    run_id: str = ""
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    body: str = ""
