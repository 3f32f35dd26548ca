"""`runs delete` leaves nothing of a run in any file, and nothing else is touched (S4.25)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.files import found_in_files
from tests.e2e.otlp import (
    SECOND,
    START_NS,
    a_record,
    a_run,
    a_span,
    logs,
    span_id,
    trace_id,
    traces,
)
from tests.e2e.talk import Talk
from tests.support.process import CollectorProcess, query

DAY_NS = 86_400 * SECOND
LARGE = 40_000
"""Characters, more than `store.inline_value_bytes_max`."""


def words(name: str) -> dict[str, str]:
    """Where a text stands -> a word that stands nowhere else."""
    places = ("attribute", "large", "event", "large event", "status", "log", "large log",
              "evaluation", "feedback", "by run id", "tag", "name")  # fmt: skip
    letters = str.maketrans("0123456789", "ghijklmnop")
    return {
        place: hashlib.sha256(f"{name}/{place}".encode()).hexdigest()[:24].translate(letters)
        for place in places
    }


@dataclass
class Case:
    """A run that says something distinctive everywhere."""

    name: str
    start_ns: int = START_NS

    @property
    def run_id(self) -> str:
        return trace_id(self.name)

    @property
    def words(self) -> set[str]:
        return set(words(self.name).values())

    def send(self, talk: Talk, **root: str) -> None:
        word, trace = words(self.name), self.run_id
        spans = a_run(
            trace,
            {
                "agentrun.input": f"about {word['attribute']}",
                "agentrun.output": "x " * LARGE + word["large"],
                "agentrun.tag.topic": word["tag"],
                **root,
            },
            start_ns=self.start_ns,
        )
        spans[0].name = f"chat {word['name']}"
        spans[1].status.code = 2
        spans[1].status.message = word["status"]
        for text in (word["event"], "y " * LARGE + word["large event"]):
            event = spans[2].events.add(name="noted", time_unix_nano=self.start_ns)
            event.attributes.add(key="said").value.string_value = text
        at = self.start_ns + SECOND
        about = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 0.5}
        records = [
            a_record("", {"n": 1}, trace=trace, number=1, body=word["log"], at_ns=at),
            a_record(
                "", {}, trace=trace, number=1, body="z " * LARGE + word["large log"], at_ns=at
            ),
            a_record(
                "gen_ai.evaluation.result",
                {**about, "gen_ai.evaluation.explanation": word["evaluation"]},
                trace=trace,
                at_ns=at,
            ),
            # Of no trace: it names its run.
            a_record(
                "agentrun.decision",
                {"agentrun.run.id": trace, "agentrun.decision.reason": word["by run id"]},
                at_ns=at,
            ),
        ]
        assert not talk.export(traces(spans)).partial_success.rejected_spans
        assert not talk.export(logs(records)).partial_success.rejected_log_records
        shown = talk.run(trace)
        names = {event["name"] for event in shown["events"]}
        assert names >= {"agentrun.decision", "gen_ai.evaluation.result"}
        body = {"run_id": trace, "name": "helpful", "score": 1, "comment": word["feedback"]}
        assert talk.api("/v1/feedback", method="POST", body=body).status == 201


def gone(folder: Path, *cases: Case) -> None:
    found = found_in_files([folder], {word for case in cases for word in case.words})
    assert found == {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("erase")


@pytest.fixture(scope="module")
def collector(folder: Path) -> Iterator[CollectorProcess]:
    with CollectorProcess(folder / "data", store_flush_secs=0.05) as running:
        yield running


@pytest.fixture(scope="module")
def talk(collector: CollectorProcess) -> Talk:
    return Talk(collector)


@pytest.fixture(scope="module")
def survivor(talk: Talk) -> dict[str, Any]:
    """Another run, as it was before anything was erased."""
    case = Case("survivor")
    case.send(talk, **{"user.id": "user-7", "session.id": "session-7"})
    return talk.run(case.run_id)


@pytest.fixture(autouse=True)
def _others_are_intact(talk: Talk, survivor: dict[str, Any], folder: Path) -> Iterator[None]:
    yield
    assert talk.run(survivor["run"]["run_id"]) == survivor
    case = Case("survivor")
    assert found_in_files([folder], case.words).keys() == case.words, "the search finds nothing"


def test_a_run_is_erased_by_its_id(talk: Talk, folder: Path) -> None:
    """`DELETE /v1/runs/{id}`: spans, steps, logs, large content, events, feedback, journal."""
    case = Case("by id")
    case.send(talk)
    assert found_in_files([folder], case.words).keys() == case.words

    answer = talk.api(f"/v1/runs/{case.run_id}", method="DELETE")

    assert answer.status == 200
    erased = answer.document
    assert (erased["runs"], erased["traces"], erased["spans"], erased["steps"]) == (1, 1, 4, 4)
    assert (erased["logs"], erased["content"]) == (4, 2)
    assert erased["events"] in (3, 4), "a finding of the rules may be there already"
    assert erased["actor"] == "anonymous"
    gone(folder, case)
    assert talk.api(f"/v1/runs/{case.run_id}").status == 404
    assert talk.runs(f"trace={case.run_id}") == []


def test_what_comes_late_or_again_is_refused_and_counted(talk: Talk, folder: Path) -> None:
    """An exporter that retries must not bring back what somebody asked to erase."""
    case = Case("by id")
    before = talk.terms(), talk.terms("logs")
    word = words(case.name)
    late = a_span(case.run_id, 9, {"said": word["attribute"]})
    other = a_span(trace_id("bystander"), 0, {"gen_ai.operation.name": "invoke_agent"})
    by_name = {"agentrun.run.id": case.run_id, "x": word["log"]}

    answer = talk.export(traces([*a_run(case.run_id), late, other])).partial_success
    said = talk.export(
        logs(
            [
                a_record("", {}, trace=case.run_id, body=word["log"]),
                a_record("agentrun.decision", by_name),
                a_record("", {"n": 2}, body="of somebody else"),
            ]
        )
    ).partial_success

    assert answer.rejected_spans == 5
    assert "erased" in answer.error_message
    assert said.rejected_log_records == 2
    assert talk.run(trace_id("bystander"))["run"]["steps"] == 0
    after = talk.terms(), talk.terms("logs")
    assert after[0]["refused"] - before[0].get("refused", 0) == 5
    assert after[1]["refused"] - before[1].get("refused", 0) == 2
    gone(folder, case)
    assert talk.api(f"/v1/runs/{case.run_id}").status == 404


def test_the_whole_group_goes_with_any_run_of_it(talk: Talk, folder: Path) -> None:
    """A child run, and a trace that is linked: no run keeps half of its spans."""
    case, linked = Case("parent"), Case("linked")
    case.send(talk)
    child = a_span(
        case.run_id, 7, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "child"},
        parent=2,
    )  # fmt: skip
    linked.send(talk)
    tied = a_span(linked.run_id, 8, {"gen_ai.operation.name": "chat"})
    link = tied.links.add()
    link.trace_id = bytes.fromhex(case.run_id)
    link.span_id = bytes.fromhex(span_id(case.run_id, 0))
    talk.export(traces([child, tied]))
    talk.settle()
    child_id = f"{case.run_id}-{span_id(case.run_id, 7)}"
    assert talk.run(child_id)["run"]["parent_run_id"] == case.run_id

    done = talk.agentrun("runs", "delete", child_id, "--yes")

    assert "3 runs" in done.stdout
    gone(folder, case, linked)


@pytest.mark.parametrize("option", ["user", "session"])
def test_runs_are_erased_by_user_and_by_session(talk: Talk, folder: Path, option: str) -> None:
    cases = [Case(f"{option}-{number}") for number in range(2)]
    for case in cases:
        case.send(talk, **{f"{option}.id": f"the-{option}"})

    done = talk.agentrun("runs", "delete", f"--{option}", f"the-{option}", "--yes", "--json")

    assert json.loads(done.stdout)["runs"] == 2
    gone(folder, *cases)


def test_runs_are_erased_by_time(talk: Talk, folder: Path) -> None:
    """Of the period everything goes, also traces in which no agent acted and logs of no trace."""
    start_ns = START_NS - 20 * DAY_NS
    case = Case("by time", start_ns)
    case.send(talk)
    word = words("no agent")
    talk.export(traces([a_span(trace_id("plain"), 0, {"q": word["name"]}, start_ns=start_ns)]))
    talk.export(logs([a_record("", {}, body=word["log"], at_ns=start_ns)]))
    talk.settle()

    answer = talk.api("/v1/runs?since=21d&until=19d", method="DELETE")

    assert answer.document["runs"] == 1
    assert answer.document["traces"] == 2
    gone(folder, case, Case("no agent"))


def test_erasing_what_is_still_open_ends_it(talk: Talk, folder: Path) -> None:
    """Its root has not come: the run is held in memory, and must not be written again.  It has
    an id of the application's choosing, under which events may still come."""
    case = Case("open")
    word = words("open")
    named = {"agentrun.run.id": "job-of-somebody"}
    talk.export(traces(a_run(case.run_id, {})[:3]))
    talk.export(traces([a_span(case.run_id, 6, {**named, "gen_ai.operation.name": "chat"})]))
    spans = [a_span(case.run_id, 5, {"gen_ai.operation.name": "chat", "said": word["attribute"]})]
    talk.export(traces(spans))
    assert talk.run("job-of-somebody")["run"]["status"] == "running"

    erased = talk.api("/v1/runs/job-of-somebody", method="DELETE").document

    assert erased["spans"] == 5
    talk.export(traces([a_span(case.run_id, 0, {"gen_ai.operation.name": "invoke_agent"})]))
    event = a_record("agentrun.run.ended", {**named, "said": word["by run id"]})
    assert talk.export(logs([event])).partial_success.rejected_log_records == 1
    for run_id in (case.run_id, "job-of-somebody"):
        assert talk.api(f"/v1/runs/{run_id}").status == 404
    gone(folder, case)


def test_erasing_what_is_not_there_says_so(talk: Talk) -> None:
    assert talk.api("/v1/runs/nothing", method="DELETE").status == 404
    done = talk.agentrun("runs", "delete", "nothing", "--yes", check=False)
    assert done.returncode == 1
    assert "no run 'nothing'" in done.stderr
    assert talk.api("/v1/runs?user=nobody", method="DELETE").document["runs"] == 0
    assert talk.api("/v1/runs", method="DELETE").status == 400


def test_it_is_still_gone_after_a_restart(collector: CollectorProcess, folder: Path) -> None:
    """Last in this module.  The files of a stopped collector, and one that starts on them."""
    erased = [Case(name) for name in ("by id", "parent", "linked", "by time", "open",
                                      "user-0", "user-1", "session-0", "session-1")]  # fmt: skip
    assert collector.stop() == 0
    gone(folder, *erased)
    recorded = query(
        f"chdb://{folder}/data/store",
        "SELECT toJSONString(Attributes) AS Said FROM agent_events FINAL"
        " WHERE Name = 'agentrun.erased' ORDER BY Timestamp",
    )
    assert len(recorded) >= 6
    first = json.loads(recorded[0]["Said"])
    assert first["agentrun.actor"] == "anonymous"
    assert first["agentrun.erased.runs"] == "1"
    assert first["agentrun.erased.run_ids"] == Case("by id").run_id
    assert json.loads(recorded[2]["Said"])["agentrun.erased.by"] == "user"
    assert "the-user" not in recorded[2]["Said"], "a name that was to be erased"

    collector.start()
    talk = Talk(collector)
    for case in erased:
        talk.export(traces(a_run(case.run_id)))
        assert talk.api(f"/v1/runs/{case.run_id}").status == 404
    talk.settle()
    terms = talk.terms()
    assert (terms["refused"], terms["stored"]) == (4 * len(erased), 0)
    gone(folder, *erased)
