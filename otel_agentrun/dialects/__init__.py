"""One span of any emitter -> a `Step` (hot path) and readable `Content` (read path).

Recognition is per span, never per resource: one process often mixes dialects in one trace.
docs/dialects.md lists what is supported and shows how a dialect is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from otel_agentrun.dialects import (
    adk,
    agent_framework,
    agentops,
    agentrun,
    anthropic_sdk,
    autogen,
    claude_code,
    codex_cli,
    driver,
    gemini_cli,
    genai,
    hearsay,
    langfuse,
    langsmith,
    litellm,
    logfire,
    logfire_agents,
    mapping,
    mcp,
    messages,
    mlflow,
    openinference,
    openlit,
    pydantic_ai,
    reading,
    semantic_kernel,
    strands,
    traceloop,
    transport,
    vercel_ai,
)
from otel_agentrun.dialects import labels as run_labels
from otel_agentrun.dialects.dialect import Dialect
from otel_agentrun.dialects.driver import read
from otel_agentrun.dialects.mapping import NO_MAPPINGS, Mappings
from otel_agentrun.dialects.reading import Content
from otel_agentrun.dialects.shapes import Shapes
from otel_agentrun.dialects.told import Told, logged
from otel_agentrun.dialects.told import steps as told_steps
from otel_agentrun.step import Event, Kind, Role, SpanView, Status, Step

__all__ = [
    "NOTE_BODIES",
    "REVISION",
    "Content",
    "Mappings",
    "answer",
    "content",
    "dialect_of",
    "event_step_fields",
    "is_content_key",
    "is_logic_event",
    "is_logic_key",
    "is_root_key",
    "step",
    "task",
    "told",
    "told_content",
    "use",
]

REVISION: Final = 5
"""Normalizer revision, part of a run's revision: raise it when the same span gives another step."""

MODULES: Final = (
    agentrun,
    logfire_agents,
    logfire,
    openinference,
    langfuse,
    mlflow,
    langsmith,
    litellm,
    openlit,
    semantic_kernel,
    traceloop,
    vercel_ai,
    agentops,
    pydantic_ai,
    strands,
    adk,
    agent_framework,
    autogen,
    anthropic_sdk,
    claude_code,
    codex_cli,
    gemini_cli,
    mcp,
    genai,
)
"""The first that recognizes a span reads it: our own, marked ones, the plain convention."""
ORDER: tuple[Dialect, ...] = tuple(Dialect(module) for module in MODULES)
UNRECOGNIZED = Dialect(transport)
ALL = (*ORDER, UNRECOGNIZED)
SHAPES = Shapes(ORDER, UNRECOGNIZED)
IN_FORCE = NO_MAPPINGS

NOTE_BODIES: Final = (semantic_kernel.USAGE_LOG,)
"""How log records without an event name begin that `event_step_fields` reads."""
KEYS_CACHED_MAX: Final = 65_536
TELLING: Final = frozenset({Kind.MODEL, Kind.RUN})
ALWAYS_TELLING: Final = frozenset({mcp.NAME, litellm.NAME})


def use(mappings: Mappings) -> None:
    """Read spans with a config's mappings, too, from now on and in this whole process.

    A process has one collector, and reads the spans of all its threads alike.
    """
    global ORDER, UNRECOGNIZED, ALL, SHAPES, IN_FORCE
    if mappings == IN_FORCE:
        return
    more, labels = mapping.everywhere(mappings.keys)
    run_labels.MAPPED.clear()
    run_labels.MAPPED.update(labels)
    mapped = (mapping.dialect(each, more) for each in mappings.spans)
    ORDER = (*mapped, *(Dialect(module, more) for module in MODULES))
    UNRECOGNIZED = Dialect(transport, more)
    ALL = (*ORDER, UNRECOGNIZED)
    SHAPES = Shapes(ORDER, UNRECOGNIZED)
    IN_FORCE = mappings
    driver.forget()
    for cached in (is_logic_key, is_root_key, is_content_key, is_logic_event):
        cached.cache_clear()


def dialect_of(span: SpanView) -> Dialect:
    return SHAPES.of(span).dialect


def step(span: SpanView) -> Step:
    """The step of a span.  Never raises: a span nobody can read is an unrecognized one."""
    try:
        return read(span, SHAPES.of(span))
    except Exception:
        # A bug of a dialect must not cost the other spans of a batch: keep what needs no reading.
        return Step(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_span_id,
            version=span.version,
            name=span.name,
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            role=Role.NONE,
            status=Status.ERROR if span.status_code == "Error" else Status.SUCCESS,
        )


def told(span: SpanView, step: Step) -> tuple[Step, ...]:
    """Steps of calls that `span`, read as `step`, tells of; mostly none.  Never raises."""
    if step.kind not in TELLING and step.dialect not in ALWAYS_TELLING:
        return ()
    return told_steps(step, _told(span, step))


def told_content(span: SpanView, logs: Sequence[Event] = ()) -> dict[str, Content]:
    """What is known of the calls that `span` and the log records with its span id tell of, by the
    span ids of their steps."""
    teller = step(span)
    calls = _told(span, teller)
    found = {
        logged(teller, call, before).span_id: reading.of_told(call)
        for before, call in hearsay.calls(logs)
    }
    return found | {
        each.span_id: reading.of_told(call)
        for each, call in zip(told_steps(teller, calls), calls, strict=True)
    }


def _told(span: SpanView, teller: Step) -> Sequence[Told]:
    dialect = SHAPES.of(span).dialect
    if dialect.told is None:
        return ()
    try:
        return dialect.told(span, teller)
    except Exception:  # a bug of a dialect: the span itself was read
        return ()


def content(span: SpanView, logs: Sequence[Event] = ()) -> Content:
    """What a span says; `logs` are the log records with its span id, in any order."""
    return reading.read(span, dialect_of(span), logs)


@lru_cache(maxsize=KEYS_CACHED_MAX)
def is_logic_key(key: str) -> bool:
    """Does any dialect's `step()` need this attribute key?"""
    return any(dialect.reads(key) for dialect in ALL)


@lru_cache(maxsize=KEYS_CACHED_MAX)
def is_root_key(key: str) -> bool:
    """Is this key worth handing over for a span without parent, in addition to logic keys?

    It holds the input: large and repeated in every model span, asked for only on a run's root.
    """
    return any(dialect.reads_of_root(key) for dialect in ALL)


@lru_cache(maxsize=KEYS_CACHED_MAX)
def is_content_key(key: str) -> bool:
    """Does any dialect's `content()` read this attribute key?"""
    if key.startswith(reading.PREFIXES) or key in reading.REQUEST_KEYS:
        return True
    return any(
        any(key in keys for keys in reading.COMMON.values())
        or any(key in keys for keys in dialect.content_keys.values())
        or key.startswith(dialect.content_prefixes)
        or key in dialect.also_read
        or dialect.table[key] is not None
        for dialect in ALL
    )


@lru_cache(maxsize=KEYS_CACHED_MAX)
def is_logic_event(name: str) -> bool:
    """Does `step()` read span events of this name?"""
    return name == "exception" or any(name in dialect.event_names for dialect in ALL)


def event_step_fields(event: Event) -> Mapping[str, Any]:
    """What a log record adds to its span's step: `tool_requests`, `finish_reasons`, `usage`."""
    return genai.log_fields(event) if event.name else semantic_kernel.log_fields(event)


def task(of: Content) -> str | None:
    """The user's task as a model call below a run shows it, for a run that does not carry it."""
    return messages.task(of.messages_in) or of.input


def answer(of: Content) -> str | None:
    """The answer as the last model call of a run shows it, for a run that does not carry it."""
    return messages.answer(of.messages_out)
