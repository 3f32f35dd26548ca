"""All plays of one framework: its application, the scripted model, and a collector, in between."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from tests.e2e.talk import Talk
from tests.frameworks.enforcement import catalog
from tests.frameworks.enforcement.catalog import Framework
from tests.frameworks.enforcement.scenarios import COLLECTOR_RULES
from tests.frameworks.enforcement.script import play_of, scripted
from tests.frameworks.environment import python
from tests.frameworks.model import ModelServer
from tests.support.process import CollectorProcess

__all__ = ["Played", "play"]

ROOT: Final = Path(__file__).parents[3]
SAY_SECS: Final = 60.0
ACT_SECS: Final = 30.0
HOLD_SECS: Final = 0.3
"""How long a paused run is watched: several model calls of the script."""
OFFLINE: Final = ("offline", "undisturbed")

Heard = dict[str, Any]


@dataclass(kw_only=True)
class Played:
    """What came of it: results of the application, and documents of the collector."""

    framework: Framework
    results: dict[str, Heard] = field(default_factory=dict)
    """By `scenario/mode`."""
    models: dict[str, int] = field(default_factory=dict)
    """Model calls, by `scenario/mode`, and `scenario/mode/next` of the run after it."""
    documents: dict[str, Heard] = field(default_factory=dict)
    """Of runs, by id, those before the collector was killed."""
    held: dict[str, bool] = field(default_factory=dict)
    """Whether a paused run made no model call, by `scenario/mode`."""
    secs: float = 0.0


class Application:
    """`tests.frameworks.enforcement.app` in a framework's interpreter."""

    def __init__(self, framework: Framework, model_url: str, collector: CollectorProcess) -> None:
        self.log = collector.data_dir.parent / f"{framework.name}.log"
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.ports['http']}",
            "OTEL_AGENTRUN_CONTROL": f"http://127.0.0.1:{collector.ports['grpc']}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OPENAI_API_KEY": "none",
        }
        module = "tests.frameworks.enforcement.app"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python(framework.environment)), "-m", module, framework.name, model_url],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, text=True,
            )  # fmt: skip
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # some frameworks print
                self._lines.put(line)
        self._lines.put("")

    def hear(self) -> Heard:
        try:
            line = self._lines.get(timeout=SAY_SECS)
        except queue.Empty:
            line = ""
        if not line:
            raise AssertionError(f"the application is silent:\n{self.log.read_text()[-4000:]}")
        heard: Heard = json.loads(line)
        return heard

    def tell(self, **said: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(said)}\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Not by its own end: exporters would wait for the collector that was killed.
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def play(name: str, folder: Path) -> Played:
    """Play all scenarios of a framework.  Raises `NotInstalledError` where it cannot be."""
    framework = catalog.by_name(name)
    python(framework.environment)
    (folder / "rules.yaml").write_text(COLLECTOR_RULES)
    began = time.monotonic()
    with (
        ModelServer(scripted) as model,
        CollectorProcess(
            folder / "data", store_flush_secs=0.05, rules_file=folder / "rules.yaml"
        ) as collector,
        Application(framework, model.url, collector) as application,
    ):
        played = Played(framework=framework)
        application.hear()
        outside = Outside(collector, model)
        todo = catalog.plays(framework)
        for scenario, mode in (each for each in todo if each[0] not in OFFLINE):
            _play(played, application, outside, scenario, mode)
        application.tell(flush=True)
        application.hear()
        outside.talk.settle()
        for result in played.results.values():
            for each in (result, result["next"], result.get("other", {})):
                if run_id := each.get("run_id"):
                    played.documents[run_id] = collector.get(f"/v1/runs/{run_id}")
        for scenario, mode in (each for each in todo if each[0] in OFFLINE):
            _play(played, application, outside, scenario, mode)
        for asked in model.calls:
            script = play_of(asked)
            assert script is not None
            played.models[script["play"]] = played.models.get(script["play"], 0) + 1
    played.secs = time.monotonic() - began
    return played


class Outside:
    """Who acts on the runs of the application: an operator, rules, and what kills collectors."""

    def __init__(self, collector: CollectorProcess, model: ModelServer) -> None:
        self.talk = Talk(collector)
        self._collector = collector
        self._model = model
        self._by_command: set[str] = set()
        self._is_killed = False

    def direct(self, verb: str, run_id: str) -> None:
        """As soon as the run is known, and until the application has said that it obeys.  The first
        time on the command line, then as that does it, without its start."""
        path = f"/v1/runs/{run_id}"
        if verb not in self._by_command:
            self._by_command.add(verb)
            until(lambda: self.talk.api(path).status == 200)
            self.talk.agentrun("runs", verb, run_id, "--wait", "20")
        else:
            until(lambda: self.talk.api(f"{path}/{verb}", method="POST", body={}).status == 202)
            self.obeys(run_id)

    def obeys(self, run_id: str) -> None:
        """Wait until the application has acknowledged all directives about a run, and one."""

        def is_acknowledged() -> bool:
            about = [d for d in self.talk.get("/v1/directives") if d["run_id"] == run_id]
            return bool(about) and all(d["status"] == "acknowledged" for d in about)

        until(is_acknowledged)

    def approve(self, run_id: str) -> None:
        """As soon as somebody asks."""
        until(lambda: self.talk.get(f"/v1/approvals?state=pending&run_id={run_id}"))
        if "approve" not in self._by_command:
            self._by_command.add("approve")
            self.talk.agentrun("runs", "approve", run_id)
        else:
            answer = self.talk.api(f"/v1/runs/{run_id}/approve", method="POST", body={})
            assert answer.status < 300, answer.body

    def is_still(self) -> bool:
        """Whether no model call is made for a while."""
        calls = len(self._model.calls)
        time.sleep(HOLD_SECS)
        return len(self._model.calls) == calls

    def kill_collector(self) -> None:
        if not self._is_killed:
            self._collector.kill()
            self._is_killed = True


def until(found: Callable[[], object]) -> None:
    """Less often than other tests ask: a collector that answers has less time for the runs."""
    deadline = time.monotonic() + ACT_SECS
    while not found():
        assert time.monotonic() < deadline, f"nothing came of it in {ACT_SECS} s"
        time.sleep(0.05)


def _play(
    played: Played, application: Application, outside: Outside, scenario: str, mode: str
) -> None:
    """Tell the application to, and do what is done from outside in between."""
    key, run_id = f"{scenario}/{mode}", ""
    application.tell(scenario=scenario, mode=mode)
    while "answer" not in (heard := application.hear()):
        if "open" in heard:
            is_first, run_id = not run_id, run_id or heard["open"]
            falls_back = scenario == "approval" and mode in played.framework.falls_back
            if is_first and scenario in ("approval", "ask") and not falls_back:
                outside.approve(run_id)
        elif "working" in heard:
            if scenario == "operator":
                outside.direct("stop", run_id)
            elif scenario == "collector":
                outside.obeys(run_id)
            elif scenario == "pause":
                outside.direct("pause", run_id)
            elif scenario == "offline":
                outside.kill_collector()
            application.tell(go=True)
            if scenario == "pause":
                played.held[key] = outside.is_still()
                outside.direct("resume", run_id)
    played.results[key] = heard
