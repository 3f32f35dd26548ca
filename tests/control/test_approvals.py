"""A person is asked once, answers once, and the application is told, whoever is killed when."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from collector.api.values import ConflictError, NotFoundError, RequestError
from collector.control.approvals import GRACE_NS, Approvals
from collector.control.control import Control
from collector.errors import RetryableError
from collector.runs.approvals import ApprovalState, pending
from collector.runs.events import APPROVAL_REQUESTED, DECISION, DIRECTIVE, RUN_ENDED, make_event
from otel_agentrun import semconv
from otel_agentrun.step import Event

SECOND = 1_000_000_000
NOW = 1_795_000_000 * SECOND
RUN = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """Control and approvals over a list in place of a journal."""

    def __init__(self, journal: list[Event] | None = None) -> None:
        self.journal: list[Event] = [] if journal is None else journal
        self.now_ns = NOW
        self.refuse: Callable[[Event], bool] = lambda _: False
        self.control = Control(self.record, now_ns=lambda: self.now_ns)
        self.approvals = Approvals(self.control, self.record, now_ns=lambda: self.now_ns)
        self.control.listen(self.approvals.heard)
        self.control.heard(self.journal)

    def record(self, event: Event) -> Event:
        if self.refuse(event):
            raise RetryableError("the journal is full")
        self.journal.append(event)
        return event

    def ask(self, question: str = "Refund 900 USD?", **values: Any) -> str:
        given = {"expires_secs": 60.0, "tool_name": "refund", **values}
        document = self.approvals.request(RUN, question, **given)
        return str(document["approval_id"])

    def directives(self) -> list[tuple[str, str]]:
        return [
            (e.attributes[semconv.DIRECTIVE_ACTION], e.attributes.get(semconv.APPROVAL_ID, ""))
            for e in self.journal
            if e.name == DIRECTIVE
        ]

    def later(self, secs: float) -> None:
        self.now_ns += round(secs * SECOND)
        self.approvals.tick()


def test_an_approval_is_answered_and_the_application_told() -> None:
    """Question, answer, directive: three events, in this order."""
    collector = Collector()
    approval_id = collector.ask(rule="refunds", trace_id=RUN)

    answered = collector.approvals.answer(RUN, approve=True, comment="fine", actor="ann")

    assert answered["state"] == "approved"
    assert (answered["answered_by"], answered["comment"]) == ("ann", "fine")
    assert [event.name for event in collector.journal] == [APPROVAL_REQUESTED, DECISION, DIRECTIVE]
    assert collector.directives() == [("approve", approval_id)]
    decision = collector.journal[1]
    assert decision.attributes[semconv.DECISION_KIND] == "approval"
    assert decision.attributes[semconv.DECISION_RULE] == "refunds"
    assert decision.trace_id == RUN
    assert collector.approvals.counts() == {
        "pending": 0, "approved": 1, "refused": 0, "expired": 0,
    }  # fmt: skip


def test_a_refusal_says_why_the_run_stops() -> None:
    """The run of the application ends with the stop reason `rejected`."""
    collector = Collector()
    collector.ask()

    collector.approvals.answer(RUN, approve=False, comment="too much", actor="ann")

    directive = collector.journal[-1]
    assert directive.attributes[semconv.STOP_REASON] == "rejected"
    assert directive.attributes[semconv.DECISION_REASON] == "too much"


def test_the_first_answer_counts() -> None:
    """A second one says who was first, and changes nothing."""
    collector = Collector()
    approval_id = collector.ask()
    collector.approvals.answer(RUN, approve=True, actor="ann")

    for given in ("", approval_id):
        with pytest.raises(ConflictError, match=f"{approval_id}.* was approved by ann"):
            collector.approvals.answer(RUN, approve=False, approval_id=given, actor="bob")

    assert len(collector.journal) == 3


def test_an_approval_expires_at_its_deadline() -> None:
    """One event, and the application hears of it; a late answer is told that it is late."""
    collector = Collector()
    approval_id = collector.ask()
    collector.later(59.0)
    assert collector.approvals.list(state="pending")

    collector.later(2.0)
    collector.later(2.0)

    [approval] = collector.approvals.list()
    assert (approval["state"], approval["answered_by"]) == ("expired", "collector")
    assert approval["answered_at"] == approval["expires_at"]
    assert collector.directives() == [("refuse", approval_id)]
    assert collector.journal[-1].attributes[semconv.STOP_REASON] == "approval_expired"
    with pytest.raises(ConflictError, match="has expired"):
        collector.approvals.answer(RUN, approve=True, actor="ann")


def test_an_answer_after_the_deadline_is_too_late_before_the_clock_ticks() -> None:
    collector = Collector()
    collector.ask()
    collector.now_ns += 60 * SECOND

    with pytest.raises(ConflictError, match="has expired"):
        collector.approvals.answer(RUN, approve=True, actor="ann")


def test_two_collectors_expire_it_with_the_same_event() -> None:
    """And a restart: nothing in it comes from the process or the moment."""
    collector = Collector()
    collector.ask()
    other = Collector(list(collector.journal))
    collector.later(61.0)
    other.later(75.0)

    decisions = [
        [event for event in each.journal if event.name in (DECISION, DIRECTIVE)]
        for each in (collector, other)
    ]
    assert decisions[0][0] == decisions[1][0]
    assert len(decisions[0]) == len(decisions[1]) == 2
    assert (
        decisions[0][1].attributes[semconv.DIRECTIVE_ID]
        == decisions[1][1].attributes[semconv.DIRECTIVE_ID]
    )


def test_killed_between_answer_and_directive() -> None:
    """The answer is durable: the next process sends exactly the directive that it names."""
    collector = Collector()
    collector.ask()
    collector.refuse = lambda event: event.name == DIRECTIVE
    answered = collector.approvals.answer(RUN, approve=True, actor="ann")
    assert answered["state"] == "approved"
    assert collector.directives() == []

    restarted = Collector(collector.journal)
    restarted.now_ns += GRACE_NS
    restarted.approvals.tick()
    restarted.approvals.tick()

    [directive] = [event for event in restarted.journal if event.name == DIRECTIVE]
    assert directive.attributes[semconv.DIRECTIVE_ID] == answered["directive_id"]
    assert directive.attributes[semconv.DIRECTIVE_ACTION] == "approve"


def test_an_answer_that_cannot_be_recorded_is_none() -> None:
    """Nobody was told; the caller tries again, and then it counts."""
    collector = Collector()
    collector.ask()
    collector.refuse = lambda _: True
    with pytest.raises(RetryableError):
        collector.approvals.answer(RUN, approve=True, actor="ann")
    collector.refuse = lambda _: False

    assert collector.approvals.list()[0]["state"] == "pending"
    assert collector.approvals.answer(RUN, approve=True, actor="ann")["state"] == "approved"


def test_which_is_meant_must_be_clear() -> None:
    """The id may be left out only where one is pending."""
    collector = Collector()
    with pytest.raises(NotFoundError, match="waits for no approval"):
        collector.approvals.answer(RUN, approve=True, actor="ann")
    first = collector.ask()
    second = collector.ask()
    with pytest.raises(ConflictError, match="waits for 2 approvals"):
        collector.approvals.answer(RUN, approve=True, actor="ann")
    with pytest.raises(NotFoundError, match="no approval 'ap-9'"):
        collector.approvals.answer(RUN, approve=True, approval_id="ap-9", actor="ann")

    collector.approvals.answer(RUN, approve=True, approval_id=second, actor="ann")

    assert [a["approval_id"] for a in collector.approvals.list(state="pending")] == [first]
    collector.approvals.answer(RUN, approve=False, actor="ann")
    assert collector.approvals.list(state="refused")[0]["approval_id"] == first


def test_a_workspace_sees_its_own_only() -> None:
    """A key that is bound to one must not learn of the others' questions, or answer them."""
    collector = Collector()
    collector.ask(workspace="shop")

    assert collector.approvals.list(workspace="bank") == []
    assert len(collector.approvals.list(workspace="shop")) == 1
    with pytest.raises(NotFoundError):
        collector.approvals.answer(RUN, approve=True, actor="bob", workspace="bank")


def test_filters_that_make_no_sense_are_refused() -> None:
    collector = Collector()
    with pytest.raises(RequestError, match="state"):
        collector.approvals.list(state="open")
    with pytest.raises(RequestError, match="expires_secs"):
        collector.ask(expires_secs=0.0)
    with pytest.raises(RequestError, match="needs a run"):
        collector.approvals.request("", "May I?")


def test_a_run_that_ends_takes_its_questions_along() -> None:
    """Nobody has to answer them, and no directive goes to a run that is over."""
    collector = Collector()
    collector.ask()
    ended = make_event(RUN_ENDED, NOW + SECOND, run_id=RUN, attributes={semconv.RUN_ID: RUN})
    collector.control.heard([ended])
    collector.later(2.0)

    [approval] = collector.approvals.list()
    assert approval["state"] == "expired"
    assert approval["comment"] == "the run ended before anybody answered"
    assert collector.directives() == []


def test_an_answer_of_the_application_itself_counts() -> None:
    """It may have asked somebody in another way; then nothing is sent to it."""
    collector = Collector()
    approval_id = collector.ask()
    said = {
        semconv.RUN_ID: RUN,
        semconv.DECISION_KIND: "approval",
        semconv.DECISION_OUTCOME: "approved",
        semconv.APPROVAL_ID: approval_id,
        semconv.ACTOR: "bob",
    }
    collector.control.heard([make_event(DECISION, NOW + 1, run_id=RUN, attributes=said)])
    collector.later(10.0)

    assert collector.approvals.list()[0]["answered_by"] == "bob"
    assert collector.directives() == []


def test_erased_runs_are_forgotten() -> None:
    """The question names what was erased."""
    collector = Collector()
    collector.ask()
    collector.approvals.forget_runs(frozenset({RUN}))

    assert collector.approvals.list() == []


def test_the_state_does_not_depend_on_arrival() -> None:
    """Journals are replayed, stores are polled: any order and any repetition is the same."""
    collector = Collector()
    collector.ask()
    collector.ask("Another?")
    collector.later(1.0)
    first = collector.approvals.list()[0]["approval_id"]
    collector.approvals.answer(RUN, approve=True, approval_id=first, actor="ann")
    collector.later(90.0)
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  # to repeat a failure
    rng = random.Random(seed)
    found = []
    for _ in range(20):
        events = collector.journal + rng.choices(collector.journal, k=4)
        rng.shuffle(events)
        state = ApprovalState()
        for event in events:
            state.add([event])
        found.append([approval.document() for approval in state.all()])

    assert len(found[0]) == 2
    assert all(one == other for one, other in pairwise(found))
    assert {document["state"] for document in found[0]} == {"approved", "expired"}


def test_pending_ones_of_some_events() -> None:
    """What the document of a run shows."""
    collector = Collector()
    first, second = collector.ask("One?"), collector.ask("Two?")
    collector.approvals.answer(RUN, approve=True, approval_id=first, actor="ann")

    assert [approval.approval_id for approval in pending(collector.journal)] == [second]


def test_old_answers_are_forgotten_and_open_questions_are_not() -> None:
    collector = Collector()
    collector.ask("Old?", expires_secs=10 * 86_400.0)
    answered = collector.ask("Answered?")
    collector.approvals.answer(RUN, approve=True, approval_id=answered, actor="ann")
    collector.later(2 * 86_400.0)
    collector.later(1.0)

    assert [approval["question"] for approval in collector.approvals.list()] == ["Old?"]
