"""Which approvals there are, and what became of each: a pure fold over control events.

Any order and any repetition of the same events gives the same state: of several requests with one
id, and of several answers to one, the earliest counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from collector.runs.document import rfc3339
from collector.runs.events import APPROVAL_REQUESTED, DECISION, DIRECTIVE, RUN_ENDED
from otel_agentrun import semconv
from otel_agentrun.step import Event

__all__ = [
    "APPROVED", "EXPIRED", "PENDING", "REFUSED", "STATES", "Approval", "ApprovalState", "pending",
]  # fmt: skip

PENDING: Final = "pending"
APPROVED: Final = "approved"
REFUSED: Final = "refused"
EXPIRED: Final = "expired"
STATES: Final = (PENDING, APPROVED, REFUSED, EXPIRED)
ANSWERS: Final = frozenset({APPROVED, REFUSED, EXPIRED})
HELD_MAX: Final = 20_000
"""Approvals held; past it the oldest are forgotten (their run and the ledger have them)."""
ENDED_MAX: Final = 20_000

Key = tuple[str, str]
"""(run id, approval id): applications choose ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A question to a person, and the answer."""

    approval_id: str
    run_id: str
    trace_id: str = ""
    workspace: str = ""
    state: str = PENDING
    question: str = ""
    tool_name: str = ""
    tool_call_id: str = ""
    rule: str = ""
    rules_version: str = ""
    reason: str = ""
    requested_at_ns: int = 0
    requested_by: str = ""
    expires_at_ns: int = 0
    """0: when its run ends."""
    answered_at_ns: int = 0
    answered_by: str = ""
    comment: str = ""
    directive_id: str = ""
    """Of the directive that tells the application; "" where it answered itself."""

    @property
    def key(self) -> Key:
        return (self.run_id, self.approval_id)

    def document(self) -> dict[str, Any]:
        return {
            "approval_id": self.approval_id,
            "run_id": self.run_id,
            "workspace": self.workspace or None,
            "state": self.state,
            "question": self.question or None,
            "tool": self.tool_name or None,
            "tool_call_id": self.tool_call_id or None,
            "rule": self.rule or None,
            "reason": self.reason or None,
            "requested_at": rfc3339(self.requested_at_ns),
            "requested_by": self.requested_by or None,
            "expires_at": rfc3339(self.expires_at_ns),
            "answered_at": rfc3339(self.answered_at_ns),
            "answered_by": self.answered_by or None,
            "comment": self.comment or None,
            "directive_id": self.directive_id or None,
        }


class ApprovalState:
    """Not thread-safe: `Approvals` holds the lock."""

    def __init__(self) -> None:
        self._requests: dict[Key, Event] = {}
        self._answers: dict[Key, Event] = {}
        self._ended: dict[str, int] = {}
        self._directed: dict[str, None] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Take events in; those of other kinds say nothing here."""
        for event in events:
            run_id = event.run_id or event.attributes.get(semconv.RUN_ID, "")
            approval_id = event.attributes.get(semconv.APPROVAL_ID, "")
            if event.name == RUN_ENDED:
                if run_id:
                    _put(self._ended, run_id, min(event.at_ns, self._ended.get(run_id, 2**63)))
                    _bound(self._ended, ENDED_MAX)
            elif not approval_id or not run_id:
                continue
            elif event.name == APPROVAL_REQUESTED:
                _earliest(self._requests, (run_id, approval_id), event)
            elif event.name == DECISION and _outcome(event) in ANSWERS:
                _earliest(self._answers, (run_id, approval_id), event)
            elif event.name == DIRECTIVE:
                _put(self._directed, event.attributes.get(semconv.DIRECTIVE_ID, ""), None)
                _bound(self._directed, HELD_MAX)

    def get(self, run_id: str, approval_id: str) -> Approval | None:
        request = self._requests.get((run_id, approval_id))
        return None if request is None else self._approval((run_id, approval_id), request)

    def all(self) -> list[Approval]:
        """By the time they were requested, newest first."""
        found = [self._approval(key, request) for key, request in self._requests.items()]
        return sorted(found, key=lambda a: (a.requested_at_ns, a.key), reverse=True)

    def due(self, now_ns: int) -> list[tuple[Approval, int, bool]]:
        """(pending approval, when it lapsed, whether that is because its run ended): those for
        which it is too late."""
        found = []
        for approval in self.all():
            if approval.state != PENDING:
                continue
            ended_ns = self._ended.get(approval.run_id, 0)
            lapses = [ns for ns in (ended_ns, approval.expires_at_ns) if ns]
            if lapses and min(lapses) <= now_ns:
                found.append((approval, min(lapses), min(lapses) == ended_ns))
        return found

    def untold(self) -> list[Approval]:
        """Answered ones that nobody has sent to the application yet; runs that ended need none."""
        return [
            approval
            for approval in self.all()
            if approval.directive_id
            and approval.directive_id not in self._directed
            and approval.run_id not in self._ended
        ]

    def forget(self, before_ns: int, run_ids: frozenset[str] = frozenset()) -> None:
        """Let go of what was answered before a time, and of everything of some runs."""
        for key, request in list(self._requests.items()):
            answer = self._answers.get(key)
            old = max(request.at_ns, answer.at_ns if answer else 0) < before_ns
            if key[0] in run_ids or (answer is not None and old):
                self._requests.pop(key, None)
                self._answers.pop(key, None)
        for key in [key for key in self._answers if key[0] in run_ids]:
            del self._answers[key]
        while len(self._requests) > HELD_MAX:
            key = next(iter(self._requests))
            self._requests.pop(key)
            self._answers.pop(key, None)
        _bound(self._answers, 2 * HELD_MAX)

    def _approval(self, key: Key, request: Event) -> Approval:
        said = request.attributes
        answer = self._answers.get(key)
        told = answer.attributes if answer else {}
        return Approval(
            run_id=key[0],
            approval_id=key[1],
            trace_id=request.trace_id,
            workspace=said.get(semconv.WORKSPACE, ""),
            state=told.get(semconv.DECISION_OUTCOME, PENDING),
            question=said.get(semconv.APPROVAL_QUESTION, ""),
            tool_name=said.get(semconv.GEN_AI_TOOL_NAME, ""),
            tool_call_id=said.get(semconv.GEN_AI_TOOL_CALL_ID, ""),
            rule=said.get(semconv.DECISION_RULE, ""),
            rules_version=said.get(semconv.RULES_VERSION, ""),
            reason=said.get(semconv.DECISION_REASON, ""),
            requested_at_ns=request.at_ns,
            requested_by=said.get(semconv.ACTOR, ""),
            expires_at_ns=_expires_ns(request),
            answered_at_ns=answer.at_ns if answer else 0,
            answered_by=told.get(semconv.ACTOR, ""),
            comment=told.get(semconv.DECISION_REASON, ""),
            directive_id=told.get(semconv.DIRECTIVE_ID, ""),
        )


def pending(events: Iterable[Event]) -> list[Approval]:
    """Of some events the approvals that nobody has answered, oldest first."""
    state = ApprovalState()
    state.add(events)
    return [approval for approval in reversed(state.all()) if approval.state == PENDING]


def _outcome(event: Event) -> str:
    return event.attributes.get(semconv.DECISION_OUTCOME, "")


def _expires_ns(request: Event) -> int:
    text = request.attributes.get(semconv.APPROVAL_EXPIRES_UNIX_NS, "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _earliest(held: dict[Key, Event], key: Key, event: Event) -> None:
    known = held.get(key)
    if known is None or (event.at_ns, event.event_id) < (known.at_ns, known.event_id):
        held[key] = event


def _put(held: dict[str, Any], key: str, value: Any) -> None:
    held[key] = value


def _bound(held: dict[Any, Any], most: int) -> None:
    while len(held) > most:
        del held[next(iter(held))]
