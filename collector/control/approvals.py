"""Approvals: a person is asked, and the answer reaches the application.

The question is an event, of the application or of `request`; the answer is another one, journaled
before anybody is told.  An answer names the directive that carries it, so that a collector that was
killed between the two, or another collector, sends exactly that directive later.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from collector.api.values import ConflictError, NotFoundError, RequestError
from collector.control.directives import Directive
from collector.errors import RetryableError
from collector.runs.approvals import (
    APPROVED,
    EXPIRED,
    PENDING,
    REFUSED,
    STATES,
    Approval,
    ApprovalState,
)
from collector.runs.document import rfc3339
from collector.runs.events import APPROVAL_REQUESTED, DECISION, make_event
from otel_agentrun import semconv
from otel_agentrun.step import Event

__all__ = ["Approvals", "Controls"]

log = logging.getLogger(__name__)

SECOND: Final = 1_000_000_000
TICK_SECS: Final = 0.5
"""How late an approval expires at most."""
GRACE_NS: Final = 5 * SECOND
"""So long after an answer the directive that carries it is waited for: whoever recorded the answer
sends it at once."""
EXPIRES_SECS: Final = 3600.0
EXPIRES_SECS_MAX: Final = 30 * 86_400.0
DEADLINE: Final = "nobody answered by the deadline"
RUN_OVER: Final = "the run ended before anybody answered"
COLLECTOR: Final = "collector"
"""Actor of an answer that time gave."""
STOP_REASONS: Final = {REFUSED: "rejected", EXPIRED: "approval_expired"}

Document = dict[str, Any]


class Controls(Protocol):
    """`collector.control.control.Control`."""

    def heard(self, events: Sequence[Event]) -> None: ...
    def direct(self, directive: Directive, *, actor: str) -> Document: ...


class Approvals:
    """Safe to use from any thread.

    `record` redacts and journals an event, and gives it as it was written once it is durable; it
    raises RetryableError.  Without `start` it lists and answers, and lets nothing expire.
    """

    def __init__(
        self,
        control: Controls,
        record: Callable[[Event], Event],
        *,
        remember_secs: float = 86_400.0,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._control = control
        self._record = record
        self._remember_ns = round(remember_secs * SECOND)
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._answering = threading.Lock()
        """Of two answers at a time one is first."""
        self._state = ApprovalState()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Let approvals expire, and send answers that nobody has sent."""
        self._thread = threading.Thread(target=self._run, name="approvals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None

    def heard(self, events: Sequence[Event]) -> None:
        """Control events that are durable, of this collector and of others."""
        with self._lock:
            self._state.add(events)

    # ------------------------------------------------------------------ asking and answering

    def request(
        self,
        run_id: str,
        question: str,
        *,
        tool_name: str = "",
        tool_call_id: str = "",
        rule: str = "",
        rules_version: str = "",
        reason: str = "",
        expires_secs: float = EXPIRES_SECS,
        actor: str = "",
        trace_id: str = "",
        workspace: str = "",
    ) -> Document:
        """Ask; the approval's document, `pending`.

        `trace_id` and `workspace` of the run, where they are known, tie the question to it.
        Raises RequestError, RetryableError while nothing can be journaled.
        """
        if not run_id:
            raise RequestError("an approval needs a run", "Name the run that waits for it.")
        if not 0 < expires_secs <= EXPIRES_SECS_MAX:
            raise RequestError(
                f"expires_secs: expected more than 0 and at most {EXPIRES_SECS_MAX:.0f}, "
                f"got {expires_secs}",
                "30 days are the most a question waits.",
            )
        now_ns = self._now_ns()
        approval_id = f"ap-{secrets.token_hex(8)}"
        said = {
            semconv.RUN_ID: run_id,
            semconv.APPROVAL_ID: approval_id,
            semconv.APPROVAL_QUESTION: question,
            semconv.APPROVAL_EXPIRES_UNIX_NS: str(now_ns + round(expires_secs * SECOND)),
            semconv.DECISION_RULE: rule,
            semconv.DECISION_REASON: reason,
            semconv.RULES_VERSION: rules_version,
            semconv.GEN_AI_TOOL_NAME: tool_name,
            semconv.GEN_AI_TOOL_CALL_ID: tool_call_id,
            semconv.ACTOR: actor,
            semconv.WORKSPACE: workspace,
        }
        self._keep(APPROVAL_REQUESTED, now_ns, run_id, trace_id, said)
        return self._get(run_id, approval_id).document()

    def answer(
        self,
        run_id: str,
        *,
        approve: bool,
        approval_id: str = "",
        comment: str = "",
        actor: str,
        workspace: str = "",
    ) -> Document:
        """Approve or refuse; the approval's document.

        `approval_id` may be left out where the run waits for one answer only.  `workspace`: the
        only one whose approvals may be answered; "" for all.  Raises NotFoundError, ConflictError
        for what is answered or too late, RetryableError while nothing can be journaled.
        """
        with self._answering:
            approval = self._open(run_id, approval_id, workspace)
            now_ns = self._now_ns()
            if approval.expires_at_ns and now_ns >= approval.expires_at_ns:
                raise _too_late(approval)
            outcome = APPROVED if approve else REFUSED
            answered = self._decide(approval, outcome, now_ns, comment, actor)
        if answered.directive_id:
            self._tell(answered)
        return answered.document()

    def list(self, *, state: str = "", run_id: str = "", workspace: str = "") -> list[Document]:
        """Newest first: pending ones, and those that were answered a while ago at most.

        Raises RequestError for a state that there is not.
        """
        if state and state not in STATES:
            raise RequestError(
                f"state: {state!r} is none of {', '.join(STATES)}", "Leave it out for all."
            )
        with self._lock:
            found = self._state.all()
        return [
            approval.document()
            for approval in found
            if state in ("", approval.state)
            and run_id in ("", approval.run_id)
            and workspace in ("", approval.workspace)
        ]

    def counts(self) -> Mapping[str, int]:
        """How many there are, by state."""
        with self._lock:
            found = Counter(approval.state for approval in self._state.all())
        return {state: found[state] for state in STATES}

    def forget_runs(self, run_ids: frozenset[str]) -> None:
        """These runs are erased."""
        with self._lock:
            self._state.forget(0, run_ids)

    # ------------------------------------------------------------------ time

    def tick(self) -> None:
        """What time brings; called every half second once started.  Raises RetryableError."""
        now_ns = self._now_ns()
        with self._lock:
            due = self._state.due(now_ns)
            untold = [
                approval
                for approval in self._state.untold()
                if approval.answered_at_ns <= now_ns - GRACE_NS
            ]
            self._state.forget(now_ns - self._remember_ns)
        for approval, at_ns, run_is_over in due:
            with self._answering:
                if self._get(*approval.key).state != PENDING:
                    continue
                why = RUN_OVER if run_is_over else DEADLINE
                # Nothing in it comes from this collector or this moment: another collector, or
                # this one after a restart, makes the same event.
                lapsed = self._decide(
                    approval, EXPIRED, at_ns, why, COLLECTOR, tell=not run_is_over
                )
            if lapsed.directive_id:
                self._tell(lapsed)
        for approval in untold:
            self._tell(approval)

    def _run(self) -> None:
        while not self._stopping.wait(TICK_SECS):
            try:
                self.tick()
            except RetryableError as error:
                log.warning("approvals_wait", extra={"reason": str(error)})
            except Exception:  # a bug of ours must not keep later approvals from expiring
                log.exception("approvals_failed")

    # ------------------------------------------------------------------ inside

    def _open(self, run_id: str, approval_id: str, workspace: str) -> Approval:
        """The pending approval that is meant."""
        with self._lock:
            of_run = [
                approval
                for approval in self._state.all()
                if approval.run_id == run_id and workspace in ("", approval.workspace)
            ]
        hint = "`agentrun approvals list` shows those there are."
        if approval_id:
            named = next((a for a in of_run if a.approval_id == approval_id), None)
            if named is None:
                raise NotFoundError(f"no approval {approval_id!r} of run {run_id!r}", hint)
            if named.state != PENDING:
                raise _too_late(named)
            return named
        waiting = [approval for approval in of_run if approval.state == PENDING]
        if not waiting:
            if of_run:
                raise _too_late(of_run[0])
            raise NotFoundError(f"run {run_id!r} waits for no approval", hint)
        if len(waiting) > 1:
            ids = ", ".join(sorted(approval.approval_id for approval in waiting))
            raise ConflictError(
                f"run {run_id!r} waits for {len(waiting)} approvals: {ids}", "Name the one meant."
            )
        return waiting[0]

    def _decide(
        self,
        approval: Approval,
        outcome: str,
        at_ns: int,
        comment: str,
        actor: str,
        *,
        tell: bool = True,
    ) -> Approval:
        directive_id = _directive_id(approval, outcome) if tell else ""
        said = {
            semconv.RUN_ID: approval.run_id,
            semconv.DECISION_KIND: "approval",
            semconv.DECISION_OUTCOME: outcome,
            semconv.DECISION_REASON: comment,
            semconv.DECISION_RULE: approval.rule,
            semconv.RULES_VERSION: approval.rules_version,
            semconv.APPROVAL_ID: approval.approval_id,
            semconv.DIRECTIVE_ID: directive_id,
            semconv.GEN_AI_TOOL_NAME: approval.tool_name,
            semconv.GEN_AI_TOOL_CALL_ID: approval.tool_call_id,
            semconv.ACTOR: actor,
            semconv.WORKSPACE: approval.workspace,
        }
        self._keep(DECISION, at_ns, approval.run_id, approval.trace_id, said)
        return self._get(*approval.key)

    def _keep(
        self, name: str, at_ns: int, run_id: str, trace_id: str, said: Mapping[str, str]
    ) -> None:
        attributes = {key: text for key, text in said.items() if text}
        event = self._record(
            make_event(name, at_ns, trace_id=trace_id, run_id=run_id, attributes=attributes)
        )
        self.heard([event])
        self._control.heard([event])

    def _tell(self, approval: Approval) -> None:
        """Send the answer to the application: again when the answer was given long ago."""
        directive = Directive(
            action="approve" if approval.state == APPROVED else "refuse",
            target=approval.run_id,
            directive_id=approval.directive_id,
            reason=approval.comment,
            stop_reason=STOP_REASONS.get(approval.state, ""),
            rule=approval.rule,
            rules_version=approval.rules_version,
            approval_id=approval.approval_id,
            tool_call_id=approval.tool_call_id,
            tool_name=approval.tool_name,
            trace_id=approval.trace_id,
            workspace=approval.workspace,
            at_ns=approval.answered_at_ns + 1,  # behind the answer, in every order by time
        )
        try:
            self._control.direct(directive, actor=approval.answered_by)
        except RetryableError as error:  # the answer is durable: `tick` sends it later
            log.warning("answer_not_sent", extra={"reason": str(error)})

    def _get(self, run_id: str, approval_id: str) -> Approval:
        with self._lock:
            found = self._state.get(run_id, approval_id)
        assert found is not None, "what was recorded is known"
        return found


def _directive_id(approval: Approval, outcome: str) -> str:
    text = "\0".join((*approval.key, outcome))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
    return f"d-{digest.hexdigest()}"


def _too_late(approval: Approval) -> ConflictError:
    what = f"approval {approval.approval_id!r} of run {approval.run_id!r}"
    if approval.state in (PENDING, EXPIRED):
        lapsed = rfc3339(approval.answered_at_ns or approval.expires_at_ns)
        return ConflictError(f"{what} has expired at {lapsed}", "Have the application ask again.")
    return ConflictError(
        f"{what} was {approval.state} by {approval.answered_by or 'somebody'} at "
        f"{rfc3339(approval.answered_at_ns)}",
        "The first answer counts.",
    )
