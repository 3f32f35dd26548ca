"""What all steps have in common: a span, its content, how it ended, what was decided in it.

A step is a context manager (sync and async) and a decorator (of functions of all kinds).  What
goes wrong in here never reaches the application.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from typing import Any, ClassVar, Final, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, set_span_in_context

from otel_agentrun import arguments as canonical
from otel_agentrun import current, runtime, semconv, values
from otel_agentrun.current import RunScope, Turns
from otel_agentrun.errors import Failure, failure
from otel_agentrun.functions import decorated
from otel_agentrun.step import Status

__all__ = ["AgentStep"]

F = TypeVar("F", bound=Callable[..., Any])

FAILURES_MAX: Final = 256
"""Failed calls of a run that are remembered, to recognize that they are tried again."""
FAILED: Final = (Status.ERROR, Status.TIMEOUT)

TRACEBACK_FRAMES: Final = 50
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
DIGEST_CHARS: Final = 16_384
ATTRIBUTE_CHARS_MAX: Final = 16_384


class AgentStep:
    """One unit of work in a run: enter it once, or decorate any number of calls with it."""

    kind: ClassVar[str] = ""
    prefix: ClassVar[str] = ""
    """What the span's name begins with."""
    operation: ClassVar[str] = ""
    span_kind: ClassVar[SpanKind] = SpanKind.INTERNAL

    _taken_over: ClassVar[tuple[str, ...]] = ("_begun", "_failure", "_inputs", "_scope", "_span")
    """What a decorator's calls have in common, beside what they get a copy of."""

    __slots__ = (
        "_attributes", "_begun", "_content", "_context", "_failure", "_inputs", "_late", "_scope",
        "_span", "_target", "_token",
    )  # fmt: skip

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
        self._target = target
        self._content: dict[str, Any] = {}
        self._inputs: dict[str, Any] = {}
        self._span: Span = INVALID_SPAN
        self._scope: RunScope | None = None
        self._failure: Failure | None = None
        self._late: dict[str, Any] = {}
        self._begun = False
        self._attributes: dict[str, Any] = {semconv.STEP_KIND: self.kind}
        if self.operation:
            self._attributes[semconv.OPERATION] = self.operation
        if attributes:
            self._say(attributes)
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

    # ------------------------------------------------------------------ what an application says

    @property
    def span(self) -> Span:
        """The span, once the step has begun."""
        return self._span

    @property
    def step_id(self) -> int | None:
        """Number of the step in its run; `None` outside of runs."""
        found = self._attributes.get(semconv.STEP_ID)
        return found if isinstance(found, int) else None

    def set(self, name: str, value: object) -> Self:
        """An attribute of your own."""
        return self._say({name: value})

    def summary(self, text: str) -> Self:
        """What the step did, in one sentence."""
        return self._keep(semconv.STEP_SUMMARY, text)

    def input(self, value: object) -> Self:
        return self._keep(semconv.INPUT, value)

    def output(self, value: object) -> Self:
        return self._keep(semconv.OUTPUT, value)

    def cost(self, usd: float) -> Self:
        """What the step cost; it wins over prices that are known of its kind."""
        return self._say({semconv.COST_USD: float(usd)})

    def retried(self, count: int, reason: str = "") -> Self:
        """Retries that happened inside this step, such as those of a client library."""
        return self._say({semconv.RETRY_COUNT: count, semconv.RETRY_REASON: reason})

    def skip(self, reason: str = "") -> Self:
        """The step was not carried out."""
        self._failure = Failure(status=Status.SKIPPED)
        return self._keep(semconv.STEP_SUMMARY, reason) if reason else self

    def fail(self, error_type: str, message: str = "", *, status: Status = Status.ERROR) -> Self:
        """The step failed although no exception leaves it."""
        self._failure = Failure(status=status, error_type=error_type, message=message)
        return self

    def decision(
        self,
        kind: str,
        *,
        chosen: str = "",
        alternatives: Sequence[str] = (),
        outcome: str = "",
        reason: str = "",
        actor: str = "",
        rule: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> Self:
        """What was decided here, and why; an event of the run's decision log.

        `kind` is one of `semconv.DECISION_KIND_VALUES` (`route`, `fallback`, `tool_choice`,
        `branch`, ...), `outcome` one of `DECISION_OUTCOME_VALUES` where it is a verdict.
        """
        said = {
            semconv.DECISION_KIND: kind,
            semconv.DECISION_CHOSEN: chosen,
            semconv.DECISION_ALTERNATIVES: tuple(alternatives) or None,
            semconv.DECISION_OUTCOME: outcome,
            semconv.DECISION_REASON: self._words(semconv.DECISION_REASON, reason),
            semconv.DECISION_RULE: rule,
            semconv.ACTOR: actor,
            **(attributes or {}),
        }
        return self._event(semconv.DECISION_EVENT, said)

    def route(
        self, chosen: str, *, alternatives: Sequence[str] = (), reason: str = "", name: str = ""
    ) -> Self:
        """A model, provider, agent or workflow was chosen; `name` is the configured route's."""
        return self.decision(
            "route",
            chosen=chosen,
            alternatives=alternatives,
            reason=reason,
            attributes={semconv.ROUTE_NAME: name} if name else None,
        )

    def fallback(self, chosen: str, *, instead_of: str, reason: str = "") -> Self:
        """The second choice was taken."""
        return self.decision("fallback", chosen=chosen, alternatives=(instead_of,), reason=reason)

    def branch(self, taken: str, *, alternatives: Sequence[str] = (), reason: str = "") -> Self:
        """A path of the workflow was taken."""
        return self.decision("branch", chosen=taken, alternatives=alternatives, reason=reason)

    def state(
        self, kind: str, *, operation: str = "write", key: str = "", value: object = None
    ) -> Self:
        """Something was written down: memory, scratchpad, plan, counter."""
        said: dict[str, Any] = {
            semconv.STATE_KIND: kind,
            semconv.STATE_OPERATION: operation,
            semconv.STATE_KEY: key,
        }
        if value is not None:
            said[semconv.STATE_VALUE] = self._content_of(semconv.STATE_VALUE, value)
        return self._event(semconv.STATE_EVENT, said)

    def score(
        self, name: str, value: float | None = None, *, label: str = "", explanation: str = ""
    ) -> Self:
        """A quality score, as the GenAI evaluation event."""
        return self._event(
            EVALUATION_EVENT,
            {
                semconv.GEN_AI_EVALUATION_NAME: name,
                semconv.GEN_AI_EVALUATION_SCORE_VALUE: None if value is None else float(value),
                semconv.GEN_AI_EVALUATION_SCORE_LABEL: label,
                semconv.GEN_AI_EVALUATION_EXPLANATION: self._words(
                    semconv.GEN_AI_EVALUATION_EXPLANATION, explanation
                ),
            },
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
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.__exit__(kind, error, trace)

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
            runtime.warn_once(f"step_not_recorded: {type(trouble).__name__}: {trouble}")
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
        for name in self._taken_over:
            setattr(fresh, name, getattr(self, name))
        fresh._target = target
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
            runtime.warn_once(f"step_not_recorded: {type(trouble).__name__}: {trouble}")
        # Outside of the try: whoever stops a run does it by what the start of a span raises.
        self._span = runtime.active().tracer.start_span(
            self._name(), context, self.span_kind, self._attributes
        )
        self._context = set_span_in_context(self._span, self._started(context))

    def _outer(self) -> Context:
        """The context that the step begins in."""
        return otel_context.get_current()

    def _name(self) -> str:
        return f"{self.prefix} {self._target}" if self._target else self.prefix

    def _entered(self, context: Context) -> Context:
        """Before the span starts: what it starts with, and the context it starts in."""
        scope = self._scope = current.current(context)
        self._inputs = dict(self._content)
        self._prepare()
        if scope is not None:
            if scope.failures:
                self._recognize_retry(scope)
            given = self._attributes
            if scope.agent_name:
                given.setdefault(semconv.GEN_AI_AGENT_NAME, scope.agent_name)
            given.update(scope.stamps)
            given[semconv.STEP_ID] = scope.next_step_id()
        self._keep_given()
        return context

    def _started(self, context: Context) -> Context:
        """After the span started: the context of what is inside, but for the span."""
        return context

    def _keep_given(self) -> None:
        for key, value in self._content.items():
            self._keep(key, value)

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
        if scope is not None:
            self._note_outcome(scope, found)
        if self._late and span.is_recording():
            span.set_attributes(self._late)

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

    def _recognize_retry(self, scope: RunScope) -> None:
        known = scope.failures.get((self.kind, self._target))
        if known is None or semconv.RETRY_ATTEMPT in self._attributes:
            return
        attempts, reason, digest = known
        if digest == self._input_digest():
            self._attributes[semconv.RETRY_ATTEMPT] = attempts + 1
            self._attributes.setdefault(semconv.RETRY_REASON, reason)

    def _note_outcome(self, scope: RunScope, found: Failure | None) -> None:
        key = (self.kind, self._target)
        if found is not None and found.status in FAILED:
            if len(scope.failures) < FAILURES_MAX:
                attempt = self._attributes.get(semconv.RETRY_ATTEMPT) or 1
                scope.failures[key] = (attempt, found.error_type, self._input_digest())
        elif scope.failures:
            scope.failures.pop(key, None)

    def _input_digest(self) -> str:
        """Digest of what the step was given, to tell a retry from another call."""
        return canonical.digest(values.text(self._inputs, DIGEST_CHARS))

    def _event(self, name: str, said: Mapping[str, Any]) -> Self:
        found = {
            key: values.attribute(value, ATTRIBUTE_CHARS_MAX)
            for key, value in said.items()
            if value is not None and not (type(value) is str and not value)
        }
        if self._scope is not None:
            found = {**self._scope.stamps, **found}
        if self.step_id is not None:
            found[semconv.STEP_ID] = self.step_id
        runtime.emit(self._span, name, found)
        return self

    def _say(self, said: Mapping[str, Any]) -> Self:
        """Attributes; what is empty is not said.  Once the step runs they wait for its end, to be
        written in one go."""
        target = self._late if self._begun else self._attributes
        for key, value in said.items():
            kind = type(value)
            if kind is str:
                if value:
                    target[key] = values.cut(value, ATTRIBUTE_CHARS_MAX)
            elif kind is bool or kind is float:
                target[key] = value
            elif value is not None:
                target[key] = values.attribute(value, ATTRIBUTE_CHARS_MAX)
        return self

    def _keep(self, key: str, value: object) -> Self:
        """Content, as the policy wants it; before the step begins it is only noted."""
        if not self._begun:
            self._content[key] = value
        elif value is not None:
            self._late[key] = self._content_of(key, value)
        return self

    def _content_of(self, key: str, value: object) -> str:
        try:
            return runtime.active().content.keep(key, value)[0]
        except Exception as trouble:
            runtime.warn_once(f"content_not_recorded: {type(trouble).__name__}: {trouble}")
            return ""

    def _words(self, key: str, text: str) -> str:
        """A text as content; "" where none is kept."""
        if not text or runtime.active().content.mode == "off":
            return ""
        return self._content_of(key, text)


def single(arguments: Mapping[str, Any]) -> Any:
    """Arguments of a call as one value: a lone one is itself."""
    return next(iter(arguments.values())) if len(arguments) == 1 else dict(arguments)
