"""Every command against fakes: what it asks, prints and exits with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from collector.api.service import Operations
from collector.api.values import Document
from collector.cli.main import main
from collector.cli.session import Session
from collector.errors import ConfigError, StoreError
from tests.api.fakes import FakeOperations, a_run, a_step

STORE = "chdb:///somewhere/store"
TERMS = {
    "received": 5, "recovered": 0, "stored": 4, "refused": 1, "deduplicated": 0,
    "dead_lettered": 0, "pending": 0, "refused_by_reason": {"bad_id": 1},
}  # fmt: skip


@dataclass
class FakeBackend:
    """A store by URL, and a record of what was started."""

    fake: FakeOperations = field(default_factory=FakeOperations)
    opened: list[str] = field(default_factory=list)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    pending: int = 0
    fails: Exception | None = None
    findings: list[Document] = field(default_factory=list)

    def up(self, config: Path | None, data_dir: Path | None, store: str) -> None:
        self._call("up", config, data_dir, store)

    def demo(self, data_dir: Path | None, *, once: bool, json: bool) -> None:
        self._call("demo", data_dir, once, json)

    def ingest(
        self, files: Sequence[Path], store: str, progress: Callable[[int, int], None]
    ) -> Document:
        self._call("ingest", [file.name for file in files], store)
        progress(10, 10)
        return {"signals": {"traces": {**TERMS, "pending": self.pending}}, "runs": 2}

    @contextmanager
    def operations(self, store: str) -> Iterator[Operations]:
        self.opened.append(store)
        if self.fails:
            raise self.fails
        yield self.fake

    def schema(self, cluster: str) -> str:
        return f"CREATE TABLE x ON CLUSTER {cluster};\n" if cluster else "CREATE TABLE x;\n"

    def apply_schema(self, store: str, cluster: str) -> Sequence[str]:
        self._call("apply", store, cluster)
        return ["0001_raw"]

    def examine(self, config: Path | None, data_dir: Path | None, store: str) -> list[Document]:
        self._call("examine", config, data_dir, store)
        return self.findings

    def _call(self, *call: object) -> None:
        self.calls.append(call)
        if self.fails:
            raise self.fails


@pytest.fixture
def backend() -> FakeBackend:
    runs = [
        a_run("t1", minutes_ago=5, agent_name="support", child_run_ids=["t1-s3"]),
        a_run("t2", minutes_ago=1, agent_name="billing", status="failed", stop_reason="error"),
    ]
    return FakeBackend(
        fake=FakeOperations(
            documents={run["run_id"]: run for run in runs},
            steps={
                "t1": [
                    a_step("s1", kind="run", name="invoke_agent support"),
                    a_step("s2", "s1", kind="model", model="gpt-5", input_tokens=1200,
                           output_tokens=80, cost_usd=0.003),
                    a_step("s3", "s1", tool_name="ask_colleague", status="error",
                           error_type="timeout", attempt=1),
                ]
            },
        )
    )  # fmt: skip


Agentrun = Callable[..., Result]


@pytest.fixture
def agentrun(backend: FakeBackend) -> Agentrun:
    def run(*words: str, **settings: Any) -> Result:
        settings = {"env": {"AGENTRUN_API_KEY": ""}, **settings}
        result = CliRunner().invoke(main, list(words), obj=Session(backend=backend), **settings)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_a_list_is_one_json_document_and_nothing_else(
    agentrun: Agentrun, backend: FakeBackend
) -> None:
    """As scripts call it; --store is accepted by the command and by the group."""
    want = backend.fake.runs
    after = agentrun("runs", "list", "--limit", "100000", "--store", STORE, "--json")
    before = agentrun("--store", STORE, "runs", "list", "--limit", "100000", "--json")

    assert after.exit_code == before.exit_code == 0
    assert json.loads(after.stdout) == json.loads(before.stdout) == want(backend.fake.queries[0])
    assert after.stderr == ""
    assert backend.opened == [STORE, STORE]
    assert backend.fake.queries[0].limit == 100_000


def test_every_filter_reaches_the_query(agentrun: Agentrun, backend: FakeBackend) -> None:
    """All filters of DESIGN section 10."""
    exact = {
        name: f"{name}-1"
        for name in ("agent", "workflow", "task_type", "stop_reason", "session", "conversation",
                     "user", "request", "trace", "environment", "version")
    } | {"status": "killed"}  # fmt: skip
    words = [
        word for name, value in exact.items() for word in (f"--{name.replace('_', '-')}", value)
    ]
    times = ["--since", "2025-01-31T12:00:00Z", "--until", "2025-01-31T13:00:00Z"]
    result = agentrun(
        "runs", "list", *words, *times, "--tag", "a=1", "--tag", "b=2", "--store", STORE, "--json"
    )

    assert result.exit_code == 0, result.stderr
    (query,) = backend.fake.queries
    assert {name: getattr(query, name) for name in exact} == exact
    assert query.tags == {"a": "1", "b": "2"}
    assert query.since_ns is not None
    assert query.until_ns == query.since_ns + 3_600_000_000_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "soon", "--status", "dead"], "status: 'dead'"),
        (["--limit", "0"], "limit"),
        (["--limit", "many"], "limit"),
        (["--agnet", "x"], "--agnet"),
        (["--collector", "http://127.0.0.1:1"], "exclude each other"),
    ],
)
def test_wrong_usage_exits_2_and_asks_nothing(
    agentrun: Agentrun, backend: FakeBackend, words: list[str], said: str
) -> None:
    result = agentrun("runs", "list", *words, "--store", STORE, "--json")

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert not backend.opened


def test_the_option_nearest_to_the_command_wins(agentrun: Agentrun, backend: FakeBackend) -> None:
    """A collector set for the group (in an alias, say) does not hide the command's own store."""
    result = agentrun("--collector", "http://x:1", "runs", "list", "--store", STORE, "--json")
    assert result.exit_code == 0
    assert backend.opened == [STORE]


def test_runs_are_shown_as_one_document_or_a_list(agentrun: Agentrun, backend: FakeBackend) -> None:
    """One id gives an object, several a list, in the order asked."""
    one = json.loads(agentrun("runs", "show", "t1", "--store", STORE, "--json").stdout)
    two = json.loads(agentrun("runs", "show", "t2", "t1", "--store", STORE, "--json").stdout)

    assert set(one) == {"run", "steps", "events"}
    assert [shown["run"]["run_id"] for shown in two] == ["t2", "t1"]


def test_an_unknown_run_fails_and_leaves_stdout_empty(agentrun: Agentrun) -> None:
    """Half an answer would look like a whole one to a program."""
    result = agentrun("runs", "show", "t1", "nope", "--store", STORE, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no run nope" in result.stderr


def test_the_table_names_what_matters(agentrun: Agentrun) -> None:
    """Ids are whole where stdout is no terminal, so that they can be cut out of a pipe."""
    result = agentrun("runs", "list", "--store", STORE)

    newest, older = result.stdout.splitlines()[1:3]
    assert newest.split()[0] == "t2"
    assert "failed" in newest
    assert newest.endswith("error")
    for part in ("t1", "support", "completed", "2.5 s", "1,200 → 80", "$0.0031"):
        assert part in older
    assert "\x1b[" not in result.stdout


def test_the_tree_nests_steps_and_names_child_runs(agentrun: Agentrun) -> None:
    result = agentrun("runs", "show", "t1", "--store", STORE)

    lines = result.stdout.splitlines()
    (agent,) = (line for line in lines if "invoke_agent support" in line)
    (model,) = (line for line in lines if "gpt-5" in line)
    (tool,) = (line for line in lines if "ask_colleague" in line)
    assert model.index("model") > agent.index("run") > 0
    assert "1,200 → 80" in model
    assert "$0.0030" in model
    for part in ("retry 1", "error", "timeout", "→ run t1-s3"):
        assert part in tool


def test_nothing_an_emitter_sends_reaches_the_terminal_as_control(
    agentrun: Agentrun, backend: FakeBackend
) -> None:
    """An agent name may hold escape sequences, markup or direction overrides."""
    nasty = "\x1b]0;owned\x07[red]x[/red]\u202eevil\x9b2J"
    backend.fake.documents["t1"] |= {"agent_name": nasty, "error_message": nasty}
    backend.fake.steps["t1"] = [a_step("s1", name=nasty, tool_name=nasty, error_type=nasty)]

    for words in (["list"], ["show", "t1"]):
        result = agentrun("runs", *words, "--store", STORE)
        assert result.exit_code == 0
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(result.stdout)
        assert "[red]x[/red]" in result.stdout


def test_a_tree_shows_every_step_once_whatever_the_parents_say(
    agentrun: Agentrun, backend: FakeBackend
) -> None:
    """Parents that are absent, the step itself, or in a circle; deep chains; many steps."""
    backend.fake.steps["t1"] = [
        a_step("a", "b", name="circle-a"),
        a_step("b", "a", name="circle-b"),
        a_step("c", "c", name="own-parent"),
        a_step("d", "gone", name="orphan"),
    ]
    out = agentrun("runs", "show", "t1", "--store", STORE).stdout
    for name in ("circle-a", "circle-b", "own-parent", "orphan"):
        assert out.count(name) == 1

    backend.fake.steps["t1"] = [a_step(f"s{n}", name=f"step-{n}-") for n in range(3000)]
    out = agentrun("runs", "show", "t1", "--store", STORE).stdout
    assert out.count("step-") == 500
    assert "2,500 more; --json has them all" in out


def test_below_the_tree_are_the_events_that_it_does_not_show(
    agentrun: Agentrun, backend: FakeBackend
) -> None:
    """Live runs tell of every step; of a lost run this is all there is of the last ones."""
    told = [("agentrun.run.started", ""), ("agentrun.run.step", "s1"), ("agentrun.run.step", "s9"),
            ("agentrun.decision", "s1"), ("agentrun.run.heartbeat", "")]  # fmt: skip
    backend.fake.steps["t1"] = [a_step("s1")]
    backend.fake.events["t1"] = [
        {"name": name, "at": None, "span_id": span_id, "attributes": {"n": f"{name} {span_id}"}}
        for name, span_id in told
    ]

    out = agentrun("runs", "show", "t1", "--store", STORE).stdout

    assert "n=agentrun.decision s1" in out
    assert "n=agentrun.run.step s9" in out
    assert out.count("n=agentrun") == 2


def test_erasing_asks_first_and_says_what_went(agentrun: Agentrun, backend: FakeBackend) -> None:
    """S4.25; without a terminal nobody can confirm, so --yes is needed."""
    refused = agentrun("runs", "delete", "t1", "--store", STORE)
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert not backend.fake.deleted

    done = agentrun("runs", "delete", "t1", "--yes", "--store", STORE, "--json")
    assert json.loads(done.stdout)["runs"] == 1
    again = agentrun("runs", "delete", "--user", "u-1", "--until", "7d", "--yes", "--store", STORE)
    assert again.exit_code == 0
    selector, actor = backend.fake.deleted[-1]
    assert (selector.user, actor) == ("u-1", "command line")


@pytest.mark.parametrize("words", [[], ["t1", "--user", "u"], ["--since", "soon"]])
def test_erasing_without_a_clear_selection_is_wrong_usage(
    agentrun: Agentrun, backend: FakeBackend, words: list[str]
) -> None:
    result = agentrun("runs", "delete", *words, "--yes", "--store", STORE)
    assert result.exit_code == 2
    assert not backend.fake.deleted


def test_feedback_is_given_and_checked(agentrun: Agentrun, backend: FakeBackend) -> None:
    """S3.20: after the fact, on the command line."""
    given = agentrun(
        "feedback", "t1", "--name", "rating", "--score", "4.5", "--comment", "ok", "--store", STORE
    )
    assert given.exit_code == 0
    assert backend.fake.judged[0][0].score == 4.5
    nothing = agentrun("feedback", "t1", "--name", "rating", "--store", STORE)
    assert nothing.exit_code == 2
    unknown = agentrun("feedback", "no", "--name", "rating", "--score", "1", "--store", STORE)
    assert unknown.exit_code == 1
    assert "no run 'no'" in unknown.stderr


def test_ingest_prints_the_terms_of_promise_2(
    agentrun: Agentrun, backend: FakeBackend, tmp_path: Path
) -> None:
    """Refused items are named by reason; pending ones make it a failure."""
    files = [tmp_path / "a.otlp.json", tmp_path / "b.pb"]
    for file in files:
        file.write_bytes(b"x")
    words = ["ingest", *map(str, files), "--store", STORE]

    shown = agentrun(*words)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[1].split() == ["traces", "5", "0", "4", "1", "0", "0", "0"]
    assert "1 refused as bad_id" in shown.stdout
    assert backend.calls == [("ingest", ["a.otlp.json", "b.pb"], STORE)]
    report = json.loads(agentrun(*words, "--json").stdout)
    assert report["signals"]["traces"]["stored"] == 4

    backend.pending = 3
    left = agentrun(*words)
    assert left.exit_code == 1
    assert "3 items" in left.stderr
    assert agentrun("ingest", str(tmp_path / "absent")).exit_code == 2


def test_commands_start_what_they_name(agentrun: Agentrun, backend: FakeBackend) -> None:
    assert agentrun("up", "--data-dir", "d", "--store", STORE).exit_code == 0
    assert agentrun("demo", "--once").exit_code == 0
    assert agentrun("demo", "--json").exit_code == 2
    assert agentrun("schema", "apply", "--store", STORE, "--cluster", "c").exit_code == 0
    assert agentrun("schema", "apply").exit_code == 2
    assert backend.calls == [
        ("up", None, Path("d"), STORE),
        ("demo", None, True, False),
        ("apply", STORE, "c"),
    ]
    assert agentrun("schema", "print", "--cluster", "c").stdout.endswith("ON CLUSTER c;\n")


def test_doctor_fails_when_a_finding_does(agentrun: Agentrun, backend: FakeBackend) -> None:
    """Each finding says what to do; a warning is no failure."""
    warn = {"check": "disk", "status": "warn", "message": "2 GB free", "hint": "Free some."}
    backend.findings = [warn]
    result = agentrun("doctor", "--store", STORE)
    assert result.exit_code == 0
    assert "→ Free some." in result.stdout
    backend.findings = [warn, {**warn, "check": "store", "status": "fail"}]
    result = agentrun("doctor", "--store", STORE, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == backend.findings


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StoreError("held by process 7", "Stop it."), 1, ["held by process 7", "Fix: Stop it."]),
        (ConfigError("agentrun.yaml:3:1: x: no\n  Fix: y"), 2, ["agentrun.yaml:3:1", "  Fix: y"]),
        (FileNotFoundError(2, "No such file", "a.json"), 1, ["a.json: No such file"]),
    ],
)
def test_expected_failures_are_sentences(
    agentrun: Agentrun, backend: FakeBackend, error: Exception, code: int, said: list[str]
) -> None:
    """What, and what to do; no traceback; nothing on stdout."""
    backend.fails = error
    for words in (["runs", "list", "--store", STORE, "--json"], ["up"]):
        result = agentrun(*words)
        assert result.exit_code == code
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        for part in said:
            assert part in result.stderr


def test_a_bug_keeps_its_traceback(agentrun: Agentrun, backend: FakeBackend) -> None:
    """A sentence would hide where it happened."""
    backend.fails = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError):
        agentrun("runs", "list", "--store", STORE)
