"""A step: a span that begins and ends, as a context manager (sync and async) or a decorator (of
functions of all kinds).  What goes wrong in here never reaches the application.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextvars import Token
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, set_span_in_context

from otel_agentrun import current, enforcement, retries, runtime, semconv
from otel_agentrun.current import Turns
from otel_agentrun.errors import FAILED, Failure, failure
from otel_agentrun.functions import decorated
from otel_agentrun.span_view import put, raw
from otel_agentrun.step import Status
from otel_agentrun.telling import Telling

if TYPE_CHECKING:
    from otel_agentrun.local_rules import WatchedRun

__all__ = ["AgentStep"]

F = TypeVar("F", bound=Callable[..., Any])

TRACEBACK_FRAMES: Final = 50


class AgentStep(Telling):
    """One unit of work in a run: enter it once, or decorate any number of calls with it."""

    kind: ClassVar[str] = ""
    prefix: ClassVar[str] = ""
    """What the span's name begins with."""
    operation: ClassVar[str] = ""
    span_kind: ClassVar[SpanKind] = SpanKind.INTERNAL

    __slots__ = ("_context", "_inputs", "_token")

    def __init__(
        self,
        target: str,
        *,
        summary: str = "",
        branch: str = "",
        plan_step: str = "",
        attempt: int = 0,
        retry_reason: str = "",
        cost_usd: float | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """`attempt` and `retry_reason` are found out for calls that are simply made again after
        they failed; `attributes` are your own, under any names."""
        self._target = target if type(target) is str else str(target or "")
        self._content = {}
        self._inputs: tuple[str, ...] = ()
        """Texts of what it was given, to tell a retry from another call."""
        self._span = INVALID_SPAN
        self._scope = None
        self._failure = None
        self._late = {}
        self._begun = False
        self._attributes = {semconv.STEP_KIND: self.kind}
        if self.operation:
            self._attributes[semconv.OPERATION] = self.operation
        if attributes:
            self._say({str(name): value for name, value in attributes.items() if name != ""})
        if summary:
            self._content[semconv.STEP_SUMMARY] = summary
        if branch or plan_step or attempt or retry_reason or cost_usd is not None:
            self._say(
                {
                    semconv.STEP_BRANCH: branch,
                    semconv.PLAN_STEP_ID: plan_step,
                    semconv.RETRY_ATTEMPT: attempt or None,
                    semconv.RETRY_REASON: retry_reason,
                    semconv.COST_USD: None if cost_usd is None else float(cost_usd),
                }
            )

    # ------------------------------------------------------------------ context manager, decorator

    def __enter__(self) -> Self:
        self._begin()
        self._token: Token[Context] = otel_context.attach(self._context)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        current.detach(self._token, self._context)
        self.end(error)

    async def __aenter__(self) -> Self:
        await self.ready()
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.__exit__(kind, error, trace)

    async def ready(self) -> None:
        """Wait while the run is paused, or what the step is about to do is not approved.

        Raises RunStopped.  For code that can await; elsewhere the step's start waits, if it can.
        """
        scope = enforcement.here()
        if scope is not None:
            if runtime.active().verdicts.active:
                await enforcement.check_async(scope)
            if scope.watched is not None:
                await self._approved(scope.watched)

    async def _approved(self, watched: WatchedRun) -> None:
        """What a kind of step has to ask of a run's rules before it begins."""

    def __call__(self, function: F) -> F:
        """Decorate a function: each call is a step like this one."""
        name = self._target or getattr(function, "__name__", "")
        return decorated(function, lambda: self._again(name))

    def begin(self) -> Turns:
        """Begin without entering: for code that takes turns with its caller.  Call `end`."""
        self._begin()
        return Turns(self._context)

    def end(self, error: BaseException | None = None) -> None:
        """End the step; the exception that left it, if any."""
        try:
            self._conclude(error)
        except Exception as trouble:
            runtime.warn_of("step_not_recorded", trouble)
        finally:
            self._span.end()

    def given(self, arguments: Mapping[str, Any]) -> None:
        """The arguments of a decorated function."""
        if arguments:
            self._content.setdefault(semconv.INPUT, single(arguments))

    def returned(self, value: Any) -> None:
        """What a decorated function gave."""
        if value is not None and semconv.OUTPUT not in self._late:
            self._keep(semconv.OUTPUT, value)

    # ------------------------------------------------------------------ how it works

    def _again(self, target: str) -> Self:
        """A step like this one, for one call."""
        fresh = object.__new__(type(self))  # four times as fast as `copy`
        fresh._target = target
        fresh._begun = self._begun
        fresh._failure = self._failure
        fresh._inputs = ()
        fresh._scope = None
        fresh._span = INVALID_SPAN
        fresh._attributes = dict(self._attributes)
        fresh._content = dict(self._content)
        fresh._late = {}
        return fresh

    def _begin(self) -> None:
        if self._begun:
            raise RuntimeError(
                f"{self._target or self.prefix}: a step is entered once; make another one, or "
                "decorate a function."
            )
        self._begun = True
        context = self._outer()
        try:
            context = self._entered(context)
        except Exception as trouble:
            runtime.warn_of("step_not_recorded", trouble)
        # Outside of the try: whoever stops a run does it by what the start of a span raises.
        self._span = runtime.active().tracer.start_span(
            self._name(), context, self.span_kind, self._attributes
        )
        self._started(context)
        self._context = set_span_in_context(self._span, context)

    def _outer(self) -> Context:
        """The context that the step begins in."""
        return otel_context.get_current()

    def _name(self) -> str:
        return f"{self.prefix} {self._target}" if self._target else self.prefix

    def _entered(self, context: Context) -> Context:
        """Before the span starts: what it starts with, and the context it starts in."""
        scope = self._scope = current.current(context)
        self._prepare()
        if self._content:
            self._keep_given()
        if scope is not None:
            if scope.failures and semconv.RETRY_ATTEMPT not in self._attributes:
                again = retries.recognize(scope, (self.kind, self._target), self._inputs)
                self._attributes = {**again, **self._attributes}
            if scope.agent_name:
                self._attributes.setdefault(semconv.GEN_AI_AGENT_NAME, scope.agent_name)
        return context

    def _started(self, context: Context) -> None:
        """After the span started."""
        scope = self._scope
        if scope is not None and semconv.STEP_ID not in raw(self._span):
            # No processor of ours has seen the span.
            put(self._span, {**scope.stamps, semconv.STEP_ID: scope.next_step_id()})

    def _keep_given(self) -> None:
        self._inputs = tuple(
            self._write(self._attributes, key, value)
            for key, value in self._content.items()
            if value is not None
        )

    def _prepare(self) -> None:
        """What a kind of step adds before its span starts."""

    def _conclude(self, error: BaseException | None) -> None:
        span, scope = self._span, self._scope
        found = self._failure
        if error is not None:
            left = failure(error)
            found = left if found is None or left.status in FAILED else found
        if found is not None and found.status is not Status.SUCCESS:
            self._describe(found, error)
        if scope is not None and (found is not None or scope.failures):
            attempt = self._attributes.get(semconv.RETRY_ATTEMPT) or 1
            retries.note(scope, (self.kind, self._target), self._inputs, found, attempt)
        if self._late and span.is_recording():
            put(span, self._late)

    def _describe(self, found: Failure, error: BaseException | None) -> None:
        span, late = self._span, self._late
        late[semconv.STEP_STATUS] = str(found.status)
        if found.error_type:
            late[semconv.ERROR_TYPE] = found.error_type
        message = self._words(semconv.EXCEPTION_MESSAGE, found.message)
        if found.status in FAILED:
            name = type(error).__name__ if error is not None else found.error_type
            span.set_status(StatusCode.ERROR, f"{name}: {message}" if message else name)
            if error is not None and span.is_recording():
                span.add_event("exception", self._exception(error, message))

    def _exception(self, error: BaseException, message: str) -> dict[str, Any]:
        """As `Span.record_exception`, under the content policy."""
        kind = type(error)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        said = {semconv.EXCEPTION_TYPE: f"{module}{kind.__qualname__}"}
        if message:
            said[semconv.EXCEPTION_MESSAGE] = message
        lines = "".join(traceback.format_exception(error, limit=-TRACEBACK_FRAMES))
        if text := self._words(semconv.EXCEPTION_STACKTRACE, lines):
            said[semconv.EXCEPTION_STACKTRACE] = text
        return said


def single(arguments: Mapping[str, Any]) -> Any:
    """Arguments of a call as one value: a lone one is itself."""
    return next(iter(arguments.values())) if len(arguments) == 1 else dict(arguments)
