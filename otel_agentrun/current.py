"""The run that encloses what happens here, carried by the OpenTelemetry context.

A `RunScope` is what every span, log record and outgoing request inside a run has to know of it.
Whoever opens a run (`run()`), or takes over one that another process opened (`continue_run`), puts
a scope into the context; everything else reads it with `current()`.

    with attached(within(scope)):            # code below belongs to the run
        ...
    turns = Turns(within(scope))             # a generator: attached while it runs, never across
    with turns:                              # a yield
        value = next(generator)

A context that was copied before a run ended (a background task) may still hold its scope: an ended
scope encloses nothing, `current()` does not return it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from otel_agentrun import semconv
from otel_agentrun.meter import Meter
from otel_agentrun.step import COUNTED, Kind

if TYPE_CHECKING:
    from otel_agentrun.lost_stops import Home
    from otel_agentrun.verdicts import Verdict

__all__ = [
    "RunScope", "Turns", "attached", "continue_run", "current", "detach", "labeled", "labels",
    "within",
]  # fmt: skip

KEY: Final = otel_context.create_key("agentrun-run")
LABELS: Final = otel_context.create_key("agentrun-labels")
NO_LABELS: Final[Mapping[str, str]] = {}

Stamps = dict[str, Any]
"""Attribute name -> value that a span may carry."""


class RunScope:
    """A run as everything inside it sees it.  Threads may share one.

    `stamps` are the attributes that every span of the run gets, its ids among them; the mapping is
    replaced, never changed, so that reading it needs no lock.
    """

    __slots__ = (
        "__weakref__", "agent_name", "at", "ended", "failures", "handle", "home", "implicit",
        "last_failure", "meter", "next_step_id", "parent", "parent_id", "remote", "root_id",
        "run_id", "stamps", "stopped", "verdict", "watched",
    )  # fmt: skip
    run_id: str
    parent_id: str
    root_id: str
    meter: Meter
    implicit: bool

    def __init__(
        self,
        stamps: Mapping[str, Any],
        *,
        parent: RunScope | None = None,
        run_id: str = "",
        parent_id: str = "",
        agent_name: str = "",
        remote: bool = False,
        implicit: bool = False,
    ) -> None:
        """`run_id` is "" until the run's own span has one: see `bind`.  `implicit`: nobody opened
        it with `run()`, an instrumentation's spans make it one."""
        self.parent = parent
        above = None if parent is not None and parent.implicit else parent  # not told of
        self.parent_id = parent_id or (above.run_id if above is not None else "")
        self.root_id = above.root_id if above is not None else self.parent_id
        self.agent_name = agent_name
        self.remote = remote
        self.implicit = implicit
        self.ended = False
        self.at: SpanContext | None = None
        """Its own span; `None` before it began, and for a run of another process."""
        self.verdict: Verdict | None = None
        """What was decided about it: see `verdicts.Verdicts.of`."""
        self.stopped: Verdict | None = None
        """The kill that it has come to feel: its outcome, whatever happens afterwards."""
        self.watched: Any = None
        """What its local rules have seen of it: `local_rules.WatchedRun`."""
        self.handle: Any = None
        """The `Run` that the application holds; `None` for a run of another process."""
        self.home: Home | None = None
        """The task that a stop must come to; `None` where it was not opened in one."""
        self.failures: dict[tuple[str, str, str], tuple[int, str]] = {}
        """(kind, target, input digest) -> attempts and typed error of calls that failed last."""
        self.last_failure = ""
        """Kind of the newest step that failed and was not made good since."""
        self.meter = Meter(parent.meter if parent is not None else None)
        self.next_step_id: Callable[[], int] = itertools.count(1).__next__
        self.run_id = ""
        self.stamps: Stamps = dict(stamps)
        if run_id:
            self._name(run_id)

    def bind(self, span: SpanContext, *, is_root: bool) -> None:
        """Take the id of the run from its own span; the first call decides.

        The trace id where the span has no parent, else `<trace id>-<span id>`.
        """
        if self.run_id:
            return
        self.at = span
        trace_id = f"{span.trace_id:032x}"
        self._name(trace_id if is_root else f"{trace_id}-{span.span_id:016x}")

    @property
    def ids(self) -> Stamps:
        """Run and parent run, as attributes; none before `bind`, and of an implicit run, which the
        collector makes out for itself."""
        if self.implicit:
            return {}
        found = {semconv.RUN_ID: self.run_id, semconv.RUN_PARENT_ID: self.parent_id}
        return {name: value for name, value in found.items() if value and self.run_id}

    def stamp(self, attributes: Mapping[str, Any]) -> None:
        """Give more attributes to every span that starts in the run from now on."""
        self.stamps = {**self.stamps, **attributes}

    def note(self, kind: Kind, failed: bool) -> None:
        """A step ended: remember what failed last and was not made good."""
        if failed:
            if kind in COUNTED:
                self.last_failure = kind
        elif self.last_failure == kind:
            self.last_failure = ""

    def _name(self, run_id: str) -> None:
        self.run_id = run_id
        self.root_id = self.root_id or run_id
        # Ids come last: an attribute of a full span pushes out the one that was set first.
        self.stamps = {**self.stamps, **self.ids}


def continue_run(
    run_id: str, stamps: Mapping[str, Any] | None = None, *, parent_id: str = ""
) -> RunScope:
    """The scope of a run that another process opened; put it into the context with `within`.

    What happens inside belongs to that run (a queue worker, a tool server); `run()` inside opens a
    child run of it.  Step ids count anew in each process: they order steps of equal time only.
    """
    return RunScope(stamps or {}, run_id=run_id, parent_id=parent_id, remote=True)


def current(context: Context | None = None) -> RunScope | None:
    """The innermost run that encloses this code and has not ended."""
    scope: Any = otel_context.get_value(KEY, context)
    while scope is not None and (scope.ended or scope.implicit):
        scope = scope.parent
    return scope  # type: ignore[no-any-return]  # only `within` sets the key


def within(scope: RunScope | None, context: Context | None = None) -> Context:
    """A context (by default the current one) inside a run; `None`: inside of none."""
    return otel_context.set_value(KEY, scope, context)


def labeled(labels: Mapping[str, str], context: Context | None = None) -> Context:
    """A context in which spans outside of runs, and runs that begin, get these attributes.

    What a request says (session, request id, tags) is known before its run begins; a run that is
    there has taken over its labels already.
    """
    return otel_context.set_value(LABELS, labels, context)


def labels(context: Context | None = None) -> Mapping[str, str]:
    """What `labeled` put there."""
    found = cast("Mapping[str, str] | None", otel_context.get_value(LABELS, context))
    return found or NO_LABELS


def detach(token: Token[Context], context: Context) -> None:
    """Undo an attach of `context`, also where the token is not valid any more.

    A generator or task may be finished by another task or thread than the one that started it (the
    garbage collector, an event loop's shutdown): its token is refused there, and what is current
    there is somebody else's unless it is the very context that was attached.
    """
    try:
        otel_context._RUNTIME_CONTEXT.detach(token)
    except (ValueError, RuntimeError):
        if otel_context.get_current() is context:
            before = token.old_value
            otel_context.attach(before if isinstance(before, Context) else Context())


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """The context is current inside the block."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        detach(token, context)


class Turns:
    """The context of code that takes turns with its caller: a generator.

    Each `with` block is one turn.  What was current at the end of a turn, such as a step that the
    generator left open across a `yield`, is current again in the next one; the caller never sees
    it.
    """

    __slots__ = ("_attached", "_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._attached = self._context
        self._token = otel_context.attach(self._context)

    def __exit__(self, *_: object) -> None:
        self._context = otel_context.get_current()
        detach(self._token, self._attached)
