"""The run, from its start to its end: the handle that the application holds of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self

from opentelemetry.context import Context
from opentelemetry.trace import StatusCode, get_current_span

from otel_agentrun import current, enforcement, lifecycle, lost_stops, runtime, semconv, values
from otel_agentrun.agent_step import AgentStep
from otel_agentrun.approvals import TIMEOUT_SECS, Approval, OnRefusal
from otel_agentrun.current import RunScope
from otel_agentrun.emitter import usage
from otel_agentrun.errors import Failure, failure
from otel_agentrun.meter import NANO, Totals
from otel_agentrun.step import Status
from otel_agentrun.step_kinds import Plan, Response
from otel_agentrun.stops import STATUS_OF_STOP

__all__ = ["Run", "label"]

LABEL_CHARS_MAX: Final = 1024

OWN: Final = frozenset(
    {
        semconv.RUN_ID, semconv.RUN_PARENT_ID, semconv.AGENT_ID, semconv.AGENT_ROLE,
        semconv.AGENT_TYPE, semconv.AGENT_VERSION, semconv.TASK_TYPE,
    }
)  # fmt: skip
"""What a child run does not take over from its parent."""

STOP_OF_KIND: Final[Mapping[str, str]] = {
    "model": "model_error",
    "tool": "tool_failure",
    "retrieve": "tool_failure",
    "validate": "input_invalid",
}
"""Kind of the step whose failure was not made good -> why the run stopped."""


class Run(AgentStep):
    """A run, from its start to its end.  Everything that happens inside belongs to it."""

    kind = "run"
    prefix = semconv.RUN_SPAN
    __slots__ = ("_given_context", "_own_scope", "_stamps", "_stop", "_workflow", "status")

    status: str
    """`running`, `paused`, and once it has ended `completed`, `failed`, `killed`, `timed_out`."""

    def __init__(
        self,
        name: str,
        stamps: Mapping[str, Any],
        workflow: str,
        context: Context | None = None,
        **common: Any,
    ) -> None:
        super().__init__(name, **common)
        self._given_context = context
        self._stamps = {name: label(value) for name, value in stamps.items() if value != ""}
        self._workflow = workflow
        self._stop = ""
        self._own_scope: RunScope | None = None
        self.status = "initiated"

    # ------------------------------------------------------------------ what it is

    @property
    def run_id(self) -> str:
        """ "" before it began, and where telemetry is off."""
        return self._own_scope.run_id if self._own_scope is not None else ""

    @property
    def parent_run_id(self) -> str:
        return self._own_scope.parent_id if self._own_scope is not None else ""

    @property
    def scope(self) -> RunScope | None:
        """What everything inside sees of the run; `None` before it began."""
        return self._own_scope

    @property
    def totals(self) -> Totals:
        """What the run and its children have used so far (needs the processor)."""
        return self._own_scope.meter.total() if self._own_scope is not None else Totals()

    @property
    def own_totals(self) -> Totals:
        """The same without its children."""
        return self._own_scope.meter.own() if self._own_scope is not None else Totals()

    # ------------------------------------------------------------------ what an application says

    def tag(self, **tags: object) -> Self:
        """Labels to filter and attribute by: on the run, and on every span from now on."""
        said = {f"{semconv.TAG_PREFIX}{name}": label(value) for name, value in tags.items()}
        if self._own_scope is not None:
            self._own_scope.stamp(said)
        else:
            self._stamps.update(said)
        return self._say(said)

    def summary(self, text: str) -> Self:
        """What the run did, in one sentence."""
        return self._keep(semconv.RUN_SUMMARY, text)

    def out_of_scope(self, is_so: bool = True) -> Self:
        """The request was outside of the agent's purpose."""
        return self._say({semconv.RUN_OUT_OF_SCOPE: is_so})

    def result(self, reference: str, *, type: str = "") -> Self:
        """Where the result is, when it is not in the output, and what it is."""
        return self._say({semconv.RESULT_REF: reference, semconv.OUTPUT_TYPE: type})

    def respond(self, output: object, *, type: str = "") -> Self:
        """The final answer: the run's output, and a step of its own."""
        self._say({semconv.OUTPUT_TYPE: type})
        with Response("") as step:
            step.output(output)
        return self.output(output)

    def payment(
        self,
        amount_usd: float,
        kind: Literal["cost", "revenue"] = "cost",
        *,
        payee: str = "",
        reference: str = "",
    ) -> Self:
        """Money that was paid or earned.  Raises `ValueError` for a negative amount."""
        if not amount_usd >= 0:
            raise ValueError(f"payment: expected an amount of at least 0, got {amount_usd!r}")
        if self._own_scope is not None:
            nano = round(amount_usd * NANO)
            self._own_scope.meter.pay(nano, is_revenue=kind == "revenue")
        return self._event(
            semconv.PAYMENT_EVENT,
            {
                semconv.PAYMENT_USD: float(amount_usd),
                semconv.PAYMENT_KIND: kind,
                semconv.PAYMENT_PAYEE: payee,
                semconv.PAYMENT_REFERENCE: reference,
            },
        )

    def feedback(
        self,
        name: str = "feedback",
        *,
        score: float | None = None,
        label: str = "",
        comment: str = "",
        actor: str = "",
    ) -> Self:
        """Somebody judged the run.  The labels `success`, `soft_failure`, `process_failure` and
        `failure` become its outcome."""
        return self._event(
            semconv.FEEDBACK_EVENT,
            {
                semconv.FEEDBACK_NAME: name,
                semconv.FEEDBACK_SCORE: None if score is None else float(score),
                semconv.FEEDBACK_LABEL: label,
                semconv.FEEDBACK_COMMENT: self._words(semconv.FEEDBACK_COMMENT, comment),
                semconv.ACTOR: actor,
            },
        )

    def handoff(self, to: str, *, role: str = "", reason: str = "") -> Self:
        """Another agent takes over and this run does not wait for it; `agentrun.handoff()` is for
        one that answers."""
        from otel_agentrun.steps import handoff

        with handoff(to, role=role, reason=reason):
            pass
        return self.stop("handoff")

    def aggregate(
        self,
        method: str,
        *,
        votes: Mapping[str, float] | None = None,
        chosen: Sequence[object] = (),
        discarded: Sequence[object] = (),
    ) -> Self:
        """One result was made of several, as a step of its own."""
        with Plan("aggregate") as step:
            step.aggregation(method, votes=votes, chosen=chosen, discarded=discarded)
        return self

    def fan_out(self, count: int) -> Self:
        """How many agents or calls were started at once."""
        return self._say({semconv.FAN_OUT_COUNT: int(count)})

    def pause(self, reason: str = "", *, actor: str = "") -> Self:
        """The run waits, for an approval or an operator.  This says so; it does not wait."""
        return self._turn(semconv.RUN_PAUSED_EVENT, "paused", "pause", reason, actor)

    def resume(self, reason: str = "", *, actor: str = "") -> Self:
        """The run goes on."""
        return self._turn(semconv.RUN_RESUMED_EVENT, "running", "resume", reason, actor)

    def stop(self, reason: str) -> Self:
        """Why the run ends, said by whoever ends it: one of `semconv.STOP_REASON_VALUES`, else
        `ValueError`.  Leaving the run is still the application's business."""
        if reason not in STATUS_OF_STOP:
            known = ", ".join(STATUS_OF_STOP)
            raise ValueError(f"stop({reason!r}): expected one of {known}")
        self._stop = reason
        return self

    def require_approval(
        self,
        question: str,
        *,
        tool: str = "",
        arguments: object = None,
        timeout_secs: float = TIMEOUT_SECS,
        on_refusal: OnRefusal = "stop",
    ) -> Self:
        """Ask a person, and wait in this thread until it is approved.

        Refused, or unanswered after `timeout_secs`, the run is stopped (RunStopped with the stop
        reason `rejected` or `approval_expired`); with `on_refusal="raise"` NotApprovedError is
        raised and the run may do something else.  RuntimeError in an event loop, which this would
        block: await `require_approval_async` there.
        """
        if not enforcement.can_wait():
            raise RuntimeError(
                "require_approval would block the event loop of this thread.\n"
                "  Fix: await run.require_approval_async(...)."
            )
        self._approval(question, tool, arguments, timeout_secs, on_refusal).wait()
        return self

    async def require_approval_async(
        self,
        question: str,
        *,
        tool: str = "",
        arguments: object = None,
        timeout_secs: float = TIMEOUT_SECS,
        on_refusal: OnRefusal = "stop",
    ) -> Self:
        """The same, to be awaited."""
        await self._approval(question, tool, arguments, timeout_secs, on_refusal).wait_async()
        return self

    def __enter__(self) -> Self:
        entered = super().__enter__()
        self.at_home()
        return entered

    def at_home(self) -> None:
        """What comes after `begin()` in this task, up to `end()` in it, is one block: a stop may
        cancel it (see `lost_stops`)."""
        if self._own_scope is not None:
            self._own_scope.home = lost_stops.home()

    def end(self, error: BaseException | None = None) -> None:
        """End the run; the exception that left it, if any.

        Raises RunStoppedError where that is the RunStopped of this very run.
        """
        super().end(error)
        scope = self._own_scope
        if isinstance(error, asyncio.CancelledError) and scope is not None and scope.home:
            error = scope.home.woken() or error
        stopped = enforcement.outside(error, self.run_id) if error is not None else None
        if stopped is not None:
            raise stopped from error

    # ------------------------------------------------------------------ how it works

    def _approval(
        self,
        question: str,
        tool: str,
        arguments: object,
        timeout_secs: float,
        on_refusal: OnRefusal,
    ) -> Approval:
        scope = self._own_scope
        if scope is None or scope.ended:
            raise RuntimeError("require_approval: the run is not open.")
        if not scope.run_id:
            raise RuntimeError(
                "require_approval: telemetry is off, so that nobody can be asked.\n"
                "  Fix: call agentrun.install() first."
            )
        return Approval(
            scope,
            question,
            tool=tool,
            arguments=arguments,
            timeout_secs=timeout_secs,
            on_refusal=on_refusal,
        )

    def _turn(
        self, event: str, status: str, hook: Literal["pause", "resume"], reason: str, actor: str
    ) -> Self:
        if self.status == status:
            return self
        self.status = status
        lifecycle.fire(hook, self, reason)
        said = self._words(semconv.DECISION_REASON, reason)
        return self._event(event, {semconv.DECISION_REASON: said, semconv.ACTOR: actor})

    def _again(self, target: str) -> Self:
        fresh = super()._again(target)
        fresh._given_context = self._given_context
        fresh._own_scope = None
        fresh._stamps = dict(self._stamps)
        fresh._stop = self._stop
        fresh._workflow = self._workflow
        fresh.status = self.status
        return fresh

    def _name(self) -> str:
        name = self._target or self._workflow
        return f"{self.prefix} {name}" if name else self.prefix

    def _outer(self) -> Context:
        return super()._outer() if self._given_context is None else self._given_context

    def _entered(self, context: Context) -> Context:
        parent = current.current(context)
        if parent is not None:
            taken = {k: v for k, v in parent.stamps.items() if k not in OWN}
        else:
            taken = dict(current.labels(context))
        scope = RunScope(
            {**taken, **self._stamps},
            parent=parent or enforcement.here(context),  # a framework's run, which is not told of
            agent_name=self._target,
        )
        scope.handle = self
        self._scope = self._own_scope = scope
        given = self._attributes
        given[semconv.OPERATION] = "invoke_workflow" if self._workflow else "invoke_agent"
        if self._target:
            given[semconv.GEN_AI_AGENT_NAME] = self._target
        if self._workflow:
            given[semconv.GEN_AI_WORKFLOW_NAME] = self._workflow
        self._keep_given()
        return current.within(scope, context)

    def _started(self, context: Context) -> None:
        scope, span = self._own_scope, self._span
        at = span.get_span_context()
        if scope is None or not at.is_valid:
            return  # telemetry is off: nothing to belong to
        if not scope.run_id:  # no processor of ours has seen the span
            scope.bind(at, is_root=not get_current_span(context).get_span_context().is_valid)
            if runtime.active().has_processor and not span.is_recording():
                runtime.warn_once(runtime.UNSAMPLED)
        super()._started(context)
        self.status = "running"
        lifecycle.fire("start", self)

    def _conclude(self, error: BaseException | None) -> None:
        scope = self._own_scope
        if scope is not None:
            scope.ended = True
        told = self._failure
        left = failure(error) if error is not None else told
        felt = enforcement.felt(scope)
        stop = felt.stop_reason if felt is not None else self._stop or self._stop_of(left)
        self.status = STATUS_OF_STOP[stop]
        self._late[semconv.STOP_REASON] = stop
        self._late[semconv.RUN_STATUS] = self.status
        if scope is not None:
            self._late.update(usage(scope.meter.own(), 0.0))
        super()._conclude(error)
        if felt is not None:
            self._span.set_status(StatusCode.ERROR, felt.reason or felt.stop_reason)
        if self.status == "completed":
            lifecycle.fire("complete", self)
        elif self.status == "failed":
            lifecycle.fire("fail", self, error)
        else:
            lifecycle.fire("kill", self, stop)

    def _stop_of(self, found: Failure | None) -> str:
        """Why a run stopped that nobody gave a reason for."""
        if found is None or found.status in (Status.SUCCESS, Status.SKIPPED):
            return "completed"
        if found.status is Status.CANCELLED:
            return "cancelled"
        if found.error_type == "max_iterations":
            return "max_iterations"
        scope = self._own_scope
        return STOP_OF_KIND.get(scope.last_failure if scope is not None else "", "error")


def label(value: object) -> str:
    """An id or a label as text, not too long for one."""
    return values.cut(values.text(value, LABEL_CHARS_MAX), LABEL_CHARS_MAX)
