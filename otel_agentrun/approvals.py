"""A person is asked before a run goes on: `run.require_approval()`, and rules that demand it.

The question is an event (`agentrun.approval.requested`); the answer comes down the control stream,
or from `Verdicts.lift` and `give`.  Only what asked waits, not what runs beside it.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_agentrun import enforcement, runtime, semconv
from otel_agentrun.current import RunScope
from otel_agentrun.stopping import NotApprovedError, RunStopped
from otel_agentrun.values import cut
from otel_agentrun.verdicts import Answer, Verdict

if TYPE_CHECKING:
    from otel_agentrun.local_rules import Demand, WatchedRun

__all__ = ["TIMEOUT_SECS", "Approval", "OnRefusal", "demanded"]

TIMEOUT_SECS: Final = 900.0
NANO: Final = 1_000_000_000

OnRefusal = Literal["stop", "raise"]
"""What happens where nobody approves: the run is stopped, or NotApprovedError is raised."""

ASKED_CHARS_MAX: Final = 500
"""Of a call's arguments in the question of a rule."""
GONE: Final = Verdict(action="kill", stop_reason="cancelled", reason="the run has ended")


class Approval:
    """One question about a run.  Made, then waited for once."""

    def __init__(
        self,
        scope: RunScope,
        question: str,
        *,
        tool: str = "",
        call_id: str = "",
        span_id: str = "",
        arguments: object = None,
        timeout_secs: float = TIMEOUT_SECS,
        rule: str = "",
        rules_version: str = "",
        on_refusal: OnRefusal = "stop",
    ) -> None:
        """`timeout_secs`: after that long without an answer it has expired."""
        if not timeout_secs > 0:
            raise ValueError(f"timeout_secs: expected more than 0, got {timeout_secs!r}")
        self.approval_id = uuid.uuid4().hex
        self.question = question
        self._words = words(semconv.APPROVAL_QUESTION, question)
        """The question as the content policy wants it."""
        self._scope = scope
        self._tool = tool
        self._call_id = call_id
        self._span_id = span_id
        self._arguments = arguments
        self._secs = timeout_secs
        self._rule = rule
        self._rules_version = rules_version
        self._on_refusal = on_refusal

    def wait(self) -> None:
        """Block this thread until it is approved.

        Raises RunStopped, or NotApprovedError where it was asked so.
        """
        verdicts = runtime.active().verdicts
        wait = verdicts.expect(self._scope, self.approval_id)
        self._ask()
        answer = verdicts.wait(self._scope, wait, self._secs)
        self._answered(answer, wait.verdict)

    async def wait_async(self) -> None:
        """The same in an event loop."""
        verdicts = runtime.active().verdicts
        wait = verdicts.expect(self._scope, self.approval_id)
        self._ask()
        answer = await verdicts.wait_async(self._scope, wait, self._secs)
        self._answered(answer, wait.verdict)

    def _ask(self) -> None:
        said: dict[str, Any] = {
            semconv.APPROVAL_ID: self.approval_id,
            semconv.APPROVAL_QUESTION: self._words,
            semconv.APPROVAL_EXPIRES_UNIX_NS: time.time_ns() + round(self._secs * NANO),
            semconv.GEN_AI_TOOL_NAME: self._tool,
            semconv.GEN_AI_TOOL_CALL_ID: self._call_id,
            semconv.DECISION_SUBJECT_SPAN_ID: self._span_id,
            semconv.DECISION_RULE: self._rule,
            semconv.RULES_VERSION: self._rules_version,
        }
        if self._arguments is not None:
            key = semconv.GEN_AI_TOOL_CALL_ARGUMENTS
            said[key] = runtime.active().content.keep(key, self._arguments)[0]
        enforcement.tell(self._scope, semconv.APPROVAL_REQUESTED_EVENT, said)
        enforcement.turn(
            self._scope,
            "pause",
            f"approval: {self._words}" if self._words else "approval",
            self._rule,
        )

    def _answered(self, answer: Answer, verdict: Verdict | None) -> None:
        scope = self._scope
        if answer == "lifted":
            if not runtime.active().verdicts.is_waited_for(scope):
                enforcement.turn(scope, "resume", "approved", "")
            return
        if answer == "killed":
            raise self._stop(runtime.active().verdicts.of(scope) or verdict or GONE)
        stop_reason = "rejected" if answer == "refused" else "approval_expired"
        said = (verdict.reason if verdict is not None else "") or (
            "refused" if answer == "refused" else f"nobody answered within {self._secs:g} s"
        )
        actor = verdict.actor if verdict is not None else ""
        if answer == "expired":
            enforcement.tell(
                scope,
                semconv.DECISION_EVENT,
                {
                    semconv.DECISION_KIND: "approval",
                    semconv.DECISION_OUTCOME: "expired",
                    semconv.APPROVAL_ID: self.approval_id,
                    semconv.DECISION_REASON: said,
                    semconv.DECISION_RULE: self._rule,
                },
            )
        if self._on_refusal == "raise":
            if not runtime.active().verdicts.is_waited_for(scope):
                enforcement.turn(scope, "resume", said, actor)
            raise NotApprovedError(self.question, stop_reason, said, actor=actor)
        raise self._stop(
            Verdict(
                action="kill",
                stop_reason=stop_reason,
                reason=f"{self._words}: {said}" if self._words else said,
                rule=self._rule,
                rules_version=self._rules_version,
                span_ids=(self._span_id,) if self._span_id else (),
                actor=actor,
                directive_id=verdict.directive_id if verdict is not None else "",
                at_ns=time.time_ns(),
            )
        )

    def _stop(self, verdict: Verdict) -> RunStopped:
        verdicts = runtime.active().verdicts
        if verdicts.holder(self._scope, verdict) is None:
            verdicts.decide(self._scope, verdict)
        return enforcement.refuse(self._scope, verdicts.of(self._scope) or verdict)


def demanded(watched: WatchedRun, demand: Demand) -> Approval:
    """The question of a rule about a call that is about to begin."""
    call = demand.call
    question = f"Run `{call.name}`?"
    if call.arguments and (said := words(semconv.GEN_AI_TOOL_CALL_ARGUMENTS, call.arguments)):
        question = f"Run `{call.name}` with {cut(said, ASKED_CHARS_MAX)}?"
    return Approval(
        watched.scope,
        question,
        tool=call.name,
        call_id=call.call_id,
        span_id=demand.span_id,
        arguments=call.arguments,
        rule=demand.rule.name,
        rules_version=watched.selected.version,
    )


def words(key: str, text: object) -> str:
    """A text, or a value's, as the content policy wants it; "" where none is kept."""
    policy = runtime.active().content
    return policy.keep(key, text)[0] if text and policy.mode != "off" else ""
