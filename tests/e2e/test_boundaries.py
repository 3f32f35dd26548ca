"""What bounds a run, by config: a conversation, a session, an explicit id (S1.38)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.otlp import AGENT, SECOND, START_NS, a_run, a_span, span_id, trace_id, traces
from tests.e2e.talk import Talk
from tests.support.process import CollectorProcess

CONFIG = """
store: {flush_secs: 0.05}
receiver: {headers: false}
runs:
  linger_secs: 0.1
  boundaries:
    - match: agent_name == "support" and tags.channel == "chat"
      boundary: conversation
    - match: tags.channel == "voice"
      boundary: session
    - match: tags.channel in ["batch", "cron"]
      boundary: explicit
"""
MINUTE = 60 * SECOND


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boundaries")


@pytest.fixture(scope="module")
def collector(folder: Path) -> Iterator[CollectorProcess]:
    (folder / "agentrun.yaml").write_text(CONFIG)
    with CollectorProcess(folder / "data", config=folder / "agentrun.yaml") as running:
        yield running


@pytest.fixture
def talk(collector: CollectorProcess) -> Talk:
    return Talk(collector)


def a_turn(name: str, channel: str, number: int, **more: str) -> list[Any]:
    """One trace of a talk that goes on: every span says what it is part of."""
    said = {"agentrun.tag.channel": channel, "gen_ai.agent.name": "support", **more}
    trace = trace_id(f"{name} {number}")
    start_ns = START_NS - 10 * MINUTE + number * MINUTE
    spans = a_run(trace, start_ns=start_ns)
    for span in spans:
        for key, value in said.items():
            if key not in {each.key for each in span.attributes}:
                span.attributes.add(key=key).value.string_value = value
    return spans


def turns(talk: Talk, name: str, channel: str, count: int = 3, **more: str) -> None:
    for number in range(count):
        talk.export(traces(a_turn(name, channel, number, **more)))
        talk.settle()


def test_a_conversation_is_one_run(talk: Talk) -> None:
    """By a match expression; each turn arrives when the ones before are only in the store."""
    turns(talk, "chat", "chat", **{"gen_ai.conversation.id": "conv-1"})

    [run] = [run for run in talk.runs("conversation=conv-1") if not run["parent_run_id"]]

    assert run["run_id"] == trace_id("chat 0")
    assert run["trace_ids"] == [trace_id(f"chat {number}") for number in range(3)]
    assert (run["model_calls_total"], run["tool_calls_total"]) == (6, 3)
    assert run["input_tokens_total"] == 6000
    assert run["status"] == "running", "nobody knows whether it goes on: quiet closes it"


def test_other_runs_keep_the_default(talk: Talk) -> None:
    """The same conversation id where no expression fits: a trace is a run."""
    turns(talk, "mail", "mail", 2, **{"gen_ai.conversation.id": "conv-2"})
    runs = talk.runs("conversation=conv-2")
    assert {run["run_id"] for run in runs} == {trace_id("mail 0"), trace_id("mail 1")}


def test_a_session_is_one_run(talk: Talk) -> None:
    turns(talk, "voice", "voice", 2, **{"session.id": "sess-1"})
    [run] = [run for run in talk.runs("session=sess-1") if not run["parent_run_id"]]
    assert set(run["trace_ids"]) == {trace_id("voice 0"), trace_id("voice 1")}


def test_conversations_of_two_workspaces_stay_apart(talk: Talk) -> None:
    for number, workspace in enumerate(("one", "two")):
        about = {"gen_ai.conversation.id": "conv-3", "agentrun.workspace": workspace}
        talk.export(traces(a_turn("shared", "chat", number, **about)))
    runs = talk.runs("conversation=conv-3")
    assert {(run["workspace"], len(run["trace_ids"])) for run in runs} == {("one", 1), ("two", 1)}


def test_an_explicit_boundary_is_not_joined_by_links(talk: Talk) -> None:
    """Links tie traces everywhere else; here only a run id does."""

    def linked(channel: str) -> list[str]:
        first = a_turn(f"link {channel}", channel, 0)
        second = a_turn(f"link {channel}", channel, 1)
        link = second[-1].links.add()
        link.trace_id, link.span_id = first[-1].trace_id, first[-1].span_id
        talk.export(traces([*first, *second]))
        talk.settle()
        return [len(run["trace_ids"]) for run in talk.runs(f"tag=channel%3D{channel}&limit=99")
                if not run["parent_run_id"]]  # fmt: skip

    assert linked("cron") == [1, 1]
    assert linked("fax") == [2]


def test_an_explicit_id_names_one_run_of_several_traces(talk: Talk) -> None:
    """A job that hops over a queue: two processes, two traces, one run."""
    turns(talk, "job", "batch", 2, **{"agentrun.run.id": "job-7"})
    shown = talk.run("job-7")
    assert set(shown["run"]["trace_ids"]) == {trace_id("job 0"), trace_id("job 1")}
    assert shown["run"]["model_calls_total"] == 4


def test_headers_can_be_switched_off(talk: Talk) -> None:
    """For a collector behind a gateway whose request ids mean something else."""
    trace = trace_id("no headers")
    headers = {"x-request-id": "of the gateway", "alephant-session-id": "s"}
    assert talk.post(traces(a_run(trace)), headers=headers).status == 200
    run = talk.run(trace)["run"]
    assert (run["request_id"], run["session_id"]) == (None, None)


def test_a_late_root_takes_over_and_the_old_id_still_resolves(talk: Talk) -> None:
    """An agent whose parent has not come is a run; when it comes, it is a child run."""
    trace = trace_id("promoted")
    child = a_span(trace, 1, {**AGENT, "gen_ai.agent.name": "helper"})
    talk.export(traces([child]))
    assert talk.run(trace)["run"]["agent_name"] == "helper"
    talk.export(traces([a_span(trace, 0, AGENT, secs=5)]))

    run = talk.run(trace)["run"]

    assert run["agent_name"] == "support"
    assert run["child_run_ids"] == [f"{trace}-{span_id(trace, 1)}"]
    assert talk.run(run["child_run_ids"][0])["run"]["parent_run_id"] == trace


def test_all_of_it_is_the_same_after_a_restart(collector: CollectorProcess) -> None:
    """Last in this module: a turn that comes after `kill -9` joins what the store has."""
    talk = Talk(collector)
    before = {run["run_id"]: run for run in talk.runs("limit=100")}
    collector.kill()
    collector.start()
    talk = Talk(collector)
    assert {run["run_id"]: run for run in talk.runs("limit=100")} == before

    more = {"gen_ai.conversation.id": "conv-1"}
    talk.export(traces(a_turn("chat", "chat", 3, **more)))
    talk.export(traces(a_turn("job", "batch", 2, **{"agentrun.run.id": "job-7"})))

    assert len(talk.run(trace_id("chat 0"))["run"]["trace_ids"]) == 4
    assert talk.run("job-7")["run"]["model_calls_total"] == 6
    roots = [run for run in talk.runs("conversation=conv-1") if not run["parent_run_id"]]
    assert [run["run_id"] for run in roots] == [trace_id("chat 0")]
    # The oldest turn comes last: the run's id is that of the earliest trace, the old one resolves.
    early = a_turn("chat", "chat", -1, **more)
    talk.export(traces(early))
    now = talk.run(trace_id("chat -1"))["run"]
    assert len(now["trace_ids"]) == 5
    assert talk.run(trace_id("chat 0"))["run"]["root_run_id"] == now["run_id"]
    # Nothing arrived twice: every span counts once.
    assert now["model_calls_total"] == 10
