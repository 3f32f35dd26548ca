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
        outside = Outside(collector, Talk(collector))
        todo = catalog.plays(framework)
        for scenario, mode in (each for each in todo if each[0] not in OFFLINE):
            played.results[f"{scenario}/{mode}"] = _play(application, scenario, mode, outside)
        application.tell(flush=True)
        application.hear()
        outside.talk.settle()
        for result in played.results.values():
            for run_id in (result["run_id"], result["next"]["run_id"]):
                if run_id:
                    played.documents[run_id] = collector.get(f"/v1/runs/{run_id}")
        for scenario, mode in (each for each in todo if each[0] in OFFLINE):
            played.results[f"{scenario}/{mode}"] = _play(application, scenario, mode, outside)
        for asked in model.calls:
            script = play_of(asked)
            assert script is not None
            played.models[script["play"]] = played.models.get(script["play"], 0) + 1
    played.secs = time.monotonic() - began
    return played


@dataclass
class Outside:
    """Who acts on the runs of the application: an operator, and what kills collectors."""

    collector: CollectorProcess
    talk: Talk
    is_killed: bool = False

    def stop(self, run_id: str) -> None:
        self.talk.agentrun("runs", "stop", run_id, "--reason", "enough")

    def approve(self, run_id: str) -> None:
        """As soon as somebody asks; unless the run has ended before."""
        deadline = time.monotonic() + 10
        while not self.collector.get(f"/v1/approvals?state=pending&run_id={run_id}"):
            if time.monotonic() > deadline or self._has_ended(run_id):
                return
            time.sleep(0.02)
        self.talk.agentrun("runs", "approve", run_id, "--reason", "known customer")

    def _has_ended(self, run_id: str) -> bool:
        listed = [run for run in self.collector.get("/v1/runs") if run["run_id"] == run_id]
        return any(run["status"] in ("killed", "completed", "failed") for run in listed)

    def kill_collector(self) -> None:
        if not self.is_killed:
            self.collector.kill()
            self.is_killed = True


def _play(application: Application, scenario: str, mode: str, outside: Outside) -> Heard:
    act: dict[str, Callable[[str], None]] = {
        "operator": outside.stop,
        "approval": outside.approve,
        "ask": outside.approve,
    }
    is_first = True
    application.tell(scenario=scenario, mode=mode)
    while True:
        heard = application.hear()
        if "open" in heard:
            if is_first and scenario in act:
                act[scenario](heard["open"])
            is_first = False
        elif "working" in heard:
            outside.kill_collector()
            application.tell(go=True)
        else:
            return heard
