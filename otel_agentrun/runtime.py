"""What `run()` and the steps work with: the tracer, the content policy, where events go.

One per process.  `install()` and `AgentRunSpanProcessor` set it; before that, steps are spans of
the global tracer, events are events of their span.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, Tracer

from otel_agentrun import semconv
from otel_agentrun.content import ContentPolicy
from otel_agentrun.emitter import Emitter
from otel_agentrun.verdicts import Verdicts

__all__ = ["Runtime", "active", "change", "emit", "forget_warnings", "warn_of", "warn_once"]

SCOPE_NAME: Final = "otel_agentrun"

UNSAMPLED: Final = (
    "The sampler of this TracerProvider may drop spans, which hides them from the run's meter and "
    "limits. Wrap it: TracerProvider(sampler=otel_agentrun.RecordAll(sampler)); what is exported "
    "stays the same."
)

_log = logging.getLogger("otel_agentrun")


@cache
def package_version() -> str:
    try:
        return version("otel-agentrun")
    except PackageNotFoundError:
        return ""


def tracer_of(provider: trace.TracerProvider | None) -> Tracer:
    """Our tracer; of the global provider, also of one that is set later, by default."""
    return trace.get_tracer(
        SCOPE_NAME, package_version(), provider, schema_url=semconv.GENAI_SCHEMA_URL
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    tracer: Tracer = field(default_factory=lambda: tracer_of(None))
    content: ContentPolicy = field(default_factory=ContentPolicy)
    emitter: Emitter | None = None
    has_processor: bool = False
    """Whether a processor of ours is meant to see all spans."""
    verdicts: Verdicts = field(default_factory=Verdicts)
    """What was decided about the runs of this process."""


_active: Runtime | None = None


def active() -> Runtime:
    global _active
    if _active is None:
        _active = Runtime()
    return _active


def change(**changes: Any) -> Runtime:
    """Replace some of what is active."""
    global _active
    _active = replace(active(), **changes)
    return _active


def reset() -> None:
    """As before anything was installed."""
    global _active
    _active = None


def emit(span: Span, name: str, attributes: Mapping[str, Any]) -> None:
    """An event of a span: a log record at once, or kept in the span where there are no logs."""
    emitter = active().emitter
    if emitter is None:
        span.add_event(name, attributes)
    else:
        emitter.emit(name, span.get_span_context(), attributes)


_said: set[str] = set()
_saying = threading.Lock()


def warn_once(message: str) -> None:
    """Log a warning that this process has not logged before; threads may share it."""
    with _saying:
        if message in _said:
            return
        _said.add(message)
    _log.warning(message)


def forget_warnings() -> None:
    """Each may be said again: for tests."""
    _said.clear()


def warn_of(what: str, trouble: BaseException) -> None:
    """Log once what went wrong and where; not its message, which may quote prompts."""
    place = traceback.extract_tb(trouble.__traceback__)[-1:]
    where = "".join(f" at {Path(each.filename).name}:{each.lineno}" for each in place)
    warn_once(f"{what} error={type(trouble).__name__}{where}")
