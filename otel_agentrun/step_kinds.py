"""Plans, tool calls, checks and final answers: what an application says of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from opentelemetry.context import Context

from otel_agentrun import semconv
from otel_agentrun.agent_step import AgentStep
from otel_agentrun.approvals import demanded
from otel_agentrun.calls import Call, Judged, with_call
from otel_agentrun.step import Status

if TYPE_CHECKING:
    from otel_agentrun.local_rules import WatchedRun

__all__ = ["Plan", "Response", "Tool", "Validate"]


class Plan(AgentStep):
    """Planning, routing, choosing a fallback or combining results."""

    kind = "plan"
    prefix = semconv.PLAN_SPAN
    operation = "plan"
    __slots__ = ()

    def generated(self, plan: object) -> Self:
        """The plan as the model wrote it."""
        return self._keep(semconv.PLAN_GENERATED, plan)

    def compiled(self, steps: Iterable[str | Mapping[str, Any]]) -> tuple[str, ...]:
        """The steps that the plan became: names, or mappings with `id` and `name`.

        Returns their ids ("1", "2", ... where none is given): `tool(..., plan_step=ids[0])` is the
        one that carries out the first.
        """
        listed = [dict(each) if isinstance(each, Mapping) else {"name": each} for each in steps]
        for number, each in enumerate(listed, 1):
            each["id"] = str(each.get("id") or number)
        self._keep(semconv.PLAN_STEPS, listed)
        return tuple(each["id"] for each in listed)

    def decide(self, decision: object) -> Self:
        """What was decided, in words or as a value."""
        return self._keep(semconv.PLAN_DECISION, decision)

    def fan_out(self, count: int) -> Self:
        """How many agents or calls are started at once."""
        return self._say({semconv.FAN_OUT_COUNT: int(count)})

    def aggregation(
        self,
        method: str,
        *,
        votes: Mapping[str, float] | None = None,
        chosen: Sequence[object] = (),
        discarded: Sequence[object] = (),
    ) -> Self:
        """How one result was made of several: by which method, from which outputs."""
        self._say({semconv.AGGREGATION_METHOD: method})
        if votes is not None:
            self._keep(semconv.AGGREGATION_VOTES, dict(votes))
        for key, outputs in (
            (semconv.AGGREGATION_CHOSEN, chosen),
            (semconv.AGGREGATION_DISCARDED, discarded),
        ):
            if outputs:
                self._say({key: [self._content_of(key, each) for each in outputs]})
        return self

    def returned(self, value: Any) -> None:
        """A list is the compiled plan, anything else the generated one."""
        if isinstance(value, list | tuple):
            if semconv.PLAN_STEPS not in self._late:
                self.compiled(
                    each if isinstance(each, str | Mapping) else str(each) for each in value
                )
        elif value is not None and semconv.PLAN_GENERATED not in self._late:
            self.generated(value)


class Tool(AgentStep):
    """One call of a tool or an external API."""

    kind = "tool"
    prefix = semconv.TOOL_SPAN
    operation = "execute_tool"
    __slots__ = ("_judged",)

    def result(self, value: object) -> Self:
        """What the tool gave."""
        return self._keep(semconv.GEN_AI_TOOL_CALL_RESULT, value)

    def invalid(self, explanation: str = "") -> Self:
        """The arguments do not fit the tool's schema."""
        self._say({semconv.TOOL_ARGUMENTS_VALID: False})
        if explanation:
            self._keep(semconv.TOOL_ARGUMENTS_ERROR, explanation)
        return self

    def valid(self) -> Self:
        """The arguments were checked against the tool's schema, and fit."""
        return self._say({semconv.TOOL_ARGUMENTS_VALID: True})

    def reply(self, message: object) -> Self:
        """What the other agent of a handoff answered."""
        return self._keep(semconv.HANDOFF_REPLY, message)

    def given(self, arguments: Mapping[str, Any]) -> None:
        self._content.setdefault(semconv.GEN_AI_TOOL_CALL_ARGUMENTS, arguments)

    def returned(self, value: Any) -> None:
        if value is not None and semconv.GEN_AI_TOOL_CALL_RESULT not in self._late:
            self.result(value)

    def call(self) -> Call:
        """What is about to be called, with its real arguments."""
        stated = self._attributes
        given = self._content.get(semconv.GEN_AI_TOOL_CALL_ARGUMENTS)
        return Call(
            name=str(stated.get(semconv.GEN_AI_TOOL_NAME) or self._target),
            call_id=str(stated.get(semconv.GEN_AI_TOOL_CALL_ID) or ""),
            arguments=given if isinstance(given, Mapping) else None,
            is_exact=True,
        )

    async def _approved(self, watched: WatchedRun) -> None:
        demand = watched.demand(self.call())
        if demand is not None:
            await demanded(watched, demand).wait_async()
            self._judged: Judged = "approved"
        else:
            self._judged = "allowed"

    def _entered(self, context: Context) -> Context:
        context = super()._entered(context)
        scope = self._scope
        if scope is None or scope.watched is None:
            return context
        return with_call(self.call(), getattr(self, "_judged", ""), context)

    def _prepare(self) -> None:
        self._attributes.setdefault(semconv.GEN_AI_TOOL_NAME, self._target)


class Validate(AgentStep):
    """A schema check, guardrail, policy check or evaluation."""

    kind = "validate"
    prefix = semconv.VALIDATE_SPAN
    __slots__ = ()

    def outcome(
        self,
        outcome: Literal["pass", "fail", "warn"],
        *,
        score: float | None = None,
        label: str = "",
        explanation: str = "",
    ) -> Self:
        """What the check found.  A score or label is also recorded as the run's quality."""
        self._say(
            {
                semconv.VALIDATION_OUTCOME: outcome,
                semconv.VALIDATION_SCORE: None if score is None else float(score),
            }
        )
        if explanation:
            self._keep(semconv.VALIDATION_EXPLANATION, explanation)
        if score is not None or label:
            self.score(self._target, score, label=label, explanation=explanation)
        return self

    def passed(self, **details: Any) -> Self:
        return self.outcome("pass", **details)

    def failed(self, explanation: str = "", **details: Any) -> Self:
        """The check found something.  The step itself did its work: it is not an error."""
        return self.outcome("fail", explanation=explanation, **details)

    def returned(self, value: Any) -> None:
        """`True` is passed, `False` failed."""
        if isinstance(value, bool) and semconv.VALIDATION_OUTCOME not in self._late:
            self.outcome("pass" if value else "fail")
        else:
            super().returned(value)

    def _conclude(self, error: BaseException | None) -> None:
        told = self._failure
        fine = error is None and (told is None or told.status is Status.SUCCESS)
        self._late.setdefault(semconv.VALIDATION_OUTCOME, "pass" if fine else "fail")
        super()._conclude(error)


class Response(AgentStep):
    """The final answer of a run."""

    kind = "other"
    prefix = semconv.OTHER_SPAN
    __slots__ = ()

    def _prepare(self) -> None:
        self._attributes[semconv.STEP_ROLE] = "response"
