"""Operations on a store: feedback as an event the fold reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from collector.api.health import Finding, Status
from collector.api.local import LocalOperations
from collector.api.service import Feedback, Selector
from collector.api.values import Document, NotFoundError
from collector.runs.events import read_events
from otel_agentrun.step import Event
from tests.api.fakes import NOON_NS, FakeOperations, a_run


@dataclass
class FakeRecorder:
    events: list[Event] = field(default_factory=list)
    erased: list[tuple[Selector, str]] = field(default_factory=list)

    def record(self, event: Event) -> None:
        self.events.append(event)

    def erase(self, selector: Selector, *, actor: str) -> Document:
        self.erased.append((selector, actor))
        return {"runs": 1}


def local(recorder: FakeRecorder, runs: Sequence[Document]) -> LocalOperations:
    reader = FakeOperations(documents={run["run_id"]: run for run in runs})
    return LocalOperations(reader, recorder, now_ns=lambda: NOON_NS)


def test_feedback_becomes_an_event_that_the_fold_reads() -> None:
    """S3.20, S3.31: a judgment changes quality and outcome of a run that ended long ago."""
    recorder = FakeRecorder()
    operations = local(recorder, [a_run("t1", minutes_ago=600_000)])

    rated = Feedback(run_id="t1", name="rating", score=4.5)
    document = operations.feedback(rated, actor="ann")
    judged = Feedback(run_id="t1", name="useful", label="soft_failure", comment="off topic")
    operations.feedback(judged, actor="ann")

    facts = read_events(recorder.events)
    assert facts.quality == {"rating": "4.5", "useful": "soft_failure"}
    assert facts.outcome == "soft_failure"
    event = recorder.events[0]
    assert (event.trace_id, event.run_id, event.at_ns) == ("t1", "t1", NOON_NS)
    assert event.attributes["agentrun.actor"] == "ann"
    assert document["event_id"] == event.event_id
    assert document["at"] == "2025-01-31T12:00:00.000000000Z"


def test_feedback_for_an_id_that_was_replaced_reaches_the_successor() -> None:
    """An application keeps the id it was first given; the fold may have found a better one."""
    recorder = FakeRecorder()
    reader = FakeOperations(documents={"old": a_run("new", trace_ids=["t9"])})
    operations = LocalOperations(reader, recorder, now_ns=lambda: NOON_NS)

    operations.feedback(Feedback(run_id="old", name="rating", score=1), actor="ann")
    assert (recorder.events[0].run_id, recorder.events[0].trace_id) == ("new", "t9")


def test_feedback_for_no_run_is_refused_and_recorded_nowhere() -> None:
    recorder = FakeRecorder()
    with pytest.raises(NotFoundError):
        local(recorder, []).feedback(Feedback(run_id="x", name="rating", score=1), actor="ann")
    assert not recorder.events


def test_doctor_runs_every_check_though_one_breaks() -> None:
    def broken() -> Finding:
        raise OSError(28, "No space left on device")

    def well() -> Finding:
        return Finding(check="store", status=Status.OK, message="fine")

    checks = [("journal", broken), ("store", well)]
    operations = LocalOperations(FakeOperations(), FakeRecorder(), checks=checks)
    journal, store = operations.doctor()
    assert journal["status"] == "fail"
    assert "No space left" in journal["message"]
    assert journal["hint"]
    assert store["status"] == "ok"
