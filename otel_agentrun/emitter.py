"""Events of live runs, at once: up the control stream, or as OTLP log records.

The application only appends to a bounded queue; a full one drops the newest and counts it.  A
thread collects for `INTERVAL_SECS`, so that the start and the end of a short step are one event
and a busy application sends batches.  It also sends heartbeats of open runs: when they stop, the
collector knows that the process is gone.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from opentelemetry import context as otel_context
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    SpanContext,
    set_span_in_context,
)

from otel_agentrun import semconv
from otel_agentrun.current import RunScope
from otel_agentrun.log_wire import Event
from otel_agentrun.meter import NANO, Totals

__all__ = ["Emitter"]

SCOPE_NAME: Final = "otel_agentrun"
INTERVAL_SECS: Final = 0.02
QUEUE_MAX: Final = 16_384
BATCH_MAX: Final = 512
FIRST_HEARTBEAT_SECS: Final = 1.0
"""Soon, so that a run whose process dies early is known to have lived; a short run sends none."""
HEARTBEAT_SECS: Final = 15.0
IDLE_SECS: Final = 60.0
EXIT_SECS: Final = 2.0
"""How long a process that exits waits for the last events."""
FLUSH_MILLIS: Final = 10_000

_log = logging.getLogger(__name__)


Build = Callable[[], Mapping[str, Any] | None]


class Record(NamedTuple):
    name: str
    at_ns: int
    span: SpanContext
    attributes: Mapping[str, Any] | Build
    begins: bool
    """It tells that a step began: of no interest once the same batch tells how it ended."""


class Stream(Protocol):
    """What events go up first: `control.ControlClient`."""

    def start(self) -> None:
        """Connect; again: nothing."""

    def take(self, events: Sequence[Event]) -> bool:
        """`False`: they have to leave in another way."""

    def flush(self, secs: float) -> bool:
        """Wait until what it took has arrived."""

    def close(self, secs: float) -> list[Event]:
        """What it took and could not deliver."""


class Beat:
    """An open run, and when its next heartbeat is due (monotonic seconds)."""

    __slots__ = ("due", "scope", "span", "started")

    def __init__(self, scope: RunScope, span: SpanContext, now: float) -> None:
        self.scope = scope
        self.span = span
        self.started = now
        self.due = now + FIRST_HEARTBEAT_SECS


class Emitter:
    """Sends through a LoggerProvider of the OpenTelemetry SDK.  Threads may share one."""

    def __init__(self, provider: LoggerProvider, *, heartbeat_secs: float = HEARTBEAT_SECS) -> None:
        self.stream: Stream | None = None
        """Set it before the first event."""
        self.heartbeat_secs = heartbeat_secs
        self.dropped = 0
        """Events that found the queue full."""
        self._provider = provider
        self._logger = provider.get_logger(SCOPE_NAME)
        self._closed = False
        self._reset()
        if hasattr(os, "register_at_fork"):
            fresh = weakref.WeakMethod(self._reset)
            os.register_at_fork(after_in_child=lambda: (call := fresh()) and call())
        atexit.register(self.close)

    def _reset(self) -> None:
        """As new; in a forked child too: what was queued, and the open runs, are the parent's."""
        self._queue: deque[Record] = deque()
        self._returned: deque[Event] = deque()
        """What the stream took and could not deliver."""
        self._beats: dict[int, Beat] = {}
        self._due = time.monotonic() + IDLE_SECS
        """When the next heartbeat is due (monotonic seconds), at the latest."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._sent = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count(1)
        self._put = self._done = 0

    def emit(
        self,
        name: str,
        span: SpanContext,
        attributes: Mapping[str, Any] | Build,
        *,
        at_ns: int = 0,
        begins: bool = False,
    ) -> None:
        """Queue one event; `at_ns` is now by default.

        `attributes` must not change afterwards, or are a function that the thread calls; if it
        gives `None` the event is not sent.
        """
        if self._closed or len(self._queue) >= QUEUE_MAX:
            self.dropped += 1
            return
        self._queue.append(Record(name, at_ns or time.time_ns(), span, attributes, begins))
        self._put = next(self._numbers)  # `+= 1` of two threads may count once
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._start()

    def start(self) -> None:
        """Be ready, and connected, before any event: a run began of which none is told."""
        if self._thread is None and not self._closed:
            self._start()

    def watch(self, scope: RunScope, span: SpanContext) -> None:
        """Send heartbeats of a run until `unwatch`."""
        beat = Beat(scope, span, time.monotonic())
        with self._lock:
            self._beats[id(scope)] = beat
            self._due = min(self._due, beat.due)

    def unwatch(self, scope: RunScope) -> None:
        self._beats.pop(id(scope), None)

    def answer(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Queue an event of no span."""
        self.emit(name, INVALID_SPAN_CONTEXT, attributes)

    def give_back(self, events: Sequence[Event]) -> None:
        """These shall leave as log records."""
        self._returned.extend(events)
        self._wake.set()

    def flush(self, secs: float = EXIT_SECS) -> bool:
        """Wait until everything that was queued has arrived up the stream, or was handed to the
        exporter."""
        deadline = time.monotonic() + secs
        if not self._drain(secs):
            return False
        return self.stream is None or self.stream.flush(max(deadline - time.monotonic(), 0.0))

    def _drain(self, secs: float) -> bool:
        with self._sent:
            target = self._put
            return self._thread is None or self._sent.wait_for(lambda: self._done >= target, secs)

    def close(self) -> None:
        """Send what is queued, for at most `EXIT_SECS`; later events are dropped."""
        atexit.unregister(self.close)
        if self._closed:
            return
        deadline = time.monotonic() + EXIT_SECS
        self._drain(EXIT_SECS)
        if self.stream is not None:
            self._returned.extend(self.stream.close(max(deadline - time.monotonic(), 0.0)))
        self._closed = True
        self._wake.set()
        thread = self._thread
        if self._returned and thread is not None:
            thread.join(max(deadline - time.monotonic(), 0.1))

    # ------------------------------------------------------------------ the thread

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="agentrun-events", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down
                self._closed = True
                return
            self._thread = thread
        if self.stream is not None:
            self.stream.start()

    def _run(self) -> None:
        # What the exporter does is nobody's step.
        key = otel_context._SUPPRESS_INSTRUMENTATION_KEY
        otel_context.attach(otel_context.set_value(key, True, Context()))
        while not self._closed:
            self._wake.wait(max(self._due - time.monotonic(), 0.0))
            self._wake.clear()
            time.sleep(INTERVAL_SECS)
            try:
                self._beat()
                self._send()
            except Exception:
                _log.exception("events_not_sent")
        self._log([])

    def _send(self) -> None:
        if self._returned:
            self._log([])
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
            over = {
                each.span.span_id
                for each in batch
                if each.name == semconv.RUN_STEP_EVENT and not each.begins
            }
            events = []
            for record in batch:
                if record.begins and record.span.span_id in over:
                    continue
                try:
                    event = _built(record)
                except Exception:
                    self.dropped += 1
                    _log.exception("event_not_sent name=%s", record.name)
                else:
                    if event is not None:
                        events.append(event)
            if self.stream is None or not self.stream.take(events):
                self._log(events)
            with self._sent:
                self._done += len(batch)
                self._sent.notify_all()

    def _log(self, events: Sequence[Event]) -> None:
        """Send them, and what the stream gave back, as log records."""
        returned = [self._returned.popleft() for _ in range(len(self._returned))]
        for event in (*returned, *events):
            try:
                self._logger.emit(
                    LogRecord(
                        timestamp=event.at_ns,
                        observed_timestamp=event.at_ns,
                        context=set_span_in_context(NonRecordingSpan(event.span), Context()),
                        attributes=event.attributes,
                        event_name=event.name,
                    )
                )
            except Exception:
                self.dropped += 1
                _log.exception("event_not_sent name=%s", event.name)
        if returned or events:
            self._provider.force_flush(FLUSH_MILLIS)

    def _beat(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        with self._lock:
            beats = list(self._beats.values())
            late = [beat for beat in beats if beat.due <= now]
            for beat in late:
                beat.due = now + self.heartbeat_secs
            self._due = min((beat.due for beat in beats), default=now + IDLE_SECS)
        for beat in late:
            attributes = {
                **beat.scope.stamps,
                semconv.HEARTBEAT_INTERVAL_SECS: float(self.heartbeat_secs),
                **usage(beat.scope.meter.own(), now - beat.started),
            }
            self.emit(semconv.RUN_HEARTBEAT_EVENT, beat.span, attributes)


def _built(record: Record) -> Event | None:
    name, at_ns, span, given, _ = record
    attributes = given() if callable(given) else given
    return None if attributes is None else Event(name, at_ns, span, attributes)


def usage(totals: Totals, duration_secs: float) -> dict[str, Any]:
    """What a run has used, as attributes; nothing that is zero."""
    found: dict[str, Any] = {
        semconv.USAGE_STEPS: totals.steps,
        semconv.USAGE_MODEL_CALLS: totals.model_calls,
        semconv.USAGE_TOOL_CALLS: totals.tool_calls,
        semconv.USAGE_RETRIEVALS: totals.retrievals,
        semconv.USAGE_RETRIES: totals.retries,
        semconv.USAGE_INPUT_TOKENS: totals.input_tokens,
        semconv.USAGE_OUTPUT_TOKENS: totals.output_tokens,
        semconv.USAGE_CACHE_READ_TOKENS: totals.cache_read_tokens,
        semconv.USAGE_CACHE_WRITE_TOKENS: totals.cache_write_tokens,
        semconv.USAGE_REASONING_TOKENS: totals.reasoning_tokens,
        semconv.USAGE_COST_USD: totals.cost_nano_usd / NANO,
        semconv.USAGE_DURATION_SECS: round(duration_secs, 6),
    }
    return {name: value for name, value in found.items() if value}
