"""A collector process on a ClickHouse double, what was sent to it, and what must be true of it."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from tests.support.clickhouse_fixtures import Database
from tests.support.process import CollectorProcess
from tests.support.traffic import (
    INPUT_TOKENS,
    MODEL_CALLS,
    SPANS_PER_RUN,
    TOOL_CALLS,
    Sender,
    requests,
)

TERM: Final = re.compile(
    r'^agentrun_items_(\w+?)(?:_total)?{.*signal="(\w+)".*} (\S+)$', re.MULTILINE
)
WAIT_SECS: Final = 30.0


class Watch:
    """Reads `/metrics` all the time: promise 2 holds at every moment, for every signal."""

    def __init__(self, collector: CollectorProcess) -> None:
        self._collector = collector
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.wrong: list[str] = []
        self.moments = 0
        self.pending_max = 0

    def __enter__(self) -> Watch:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(WAIT_SECS)
        assert self.wrong == []
        assert self.moments > 0, "nobody looked"

    def _run(self) -> None:
        while not self._end.wait(0.05):
            self._look()

    def _look(self) -> None:
        try:
            text = self._collector.get("/metrics")
        except (OSError, HTTPException, KeyError):
            return  # it was killed, or has not started yet
        self.moments += 1
        for signal, terms in terms_of(text).items():
            self.wrong += problems(signal, terms)
            self.pending_max = max(self.pending_max, terms["pending"])


def terms_of(text: str) -> dict[str, dict[str, int]]:
    """The terms of promise 2 by signal, of one scrape."""
    found: dict[str, dict[str, int]] = {}
    for name, signal, value in TERM.findall(text):
        terms = found.setdefault(signal, {})
        terms[name] = terms.get(name, 0) + int(float(value))
    return found


def problems(signal: str, terms: dict[str, int]) -> list[str]:
    ended = ("stored", "refused", "deduplicated", "dead_lettered", "pending")
    left = terms.get("received", 0) + terms.get("recovered", 0)
    right = sum(terms.get(name, 0) for name in ended)
    wrong = [] if left == right else [f"{signal}: {left} != {right}: {terms}"]
    if terms.get("pending", 0) < 0:
        wrong.append(f"{signal}: pending is negative: {terms}")
    return wrong


class Scene:
    """One collector on one database.  `runs` counts the runs that were acknowledged entirely."""

    def __init__(self, collector: CollectorProcess, database: Database) -> None:
        self.collector = collector
        self.database = database
        self.runs = 0
        self.watch = Watch(collector)

    def send(self, runs: int) -> None:
        """So many more runs, each request acknowledged."""
        sender = Sender(self.collector.ports["grpc"])
        for body, _ in requests(self.runs, runs):
            assert sender.send(body), sender.error
        sender.close()
        self.runs += runs

    def settle(self) -> float:
        """Wait until nothing is pending; seconds."""
        began = time.monotonic()
        self.collector.settle(WAIT_SECS)
        return time.monotonic() - began

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Status and findings by check of `/readyz`."""
        url = f"http://127.0.0.1:{self.collector.ports['api']}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=15) as response:
                status, body = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        return status, {check["check"]: check for check in json.loads(body)["checks"]}

    def log(self) -> str:
        return self.collector.log.read_text()

    def check(self) -> None:
        """Everything that was acknowledged is stored once, and every run counts it once."""
        check(self.database, self.runs)


def check(database: Database, runs: int) -> None:
    """These runs, and no others, are in the store: each span once, every run with right totals."""
    [spans] = rows(database, "SELECT count() AS n, uniqExact(SpanId) AS d FROM otel_traces FINAL")
    assert (spans["n"], spans["d"]) == (runs * SPANS_PER_RUN, runs * SPANS_PER_RUN)
    wrong = rows(
        database,
        "SELECT RunId, Status, ModelCalls, ToolCalls, InputTokens, Steps FROM agent_runs FINAL"
        " WHERE (Status, ModelCalls, ToolCalls, InputTokens) !="
        f" ('completed', {MODEL_CALLS}, {TOOL_CALLS}, {MODEL_CALLS * INPUT_TOKENS})",
    )
    assert wrong == []
    [found] = rows(database, "SELECT count() AS n, uniqExact(RunId) AS d FROM agent_runs FINAL")
    assert (found["n"], found["d"]) == (runs, runs)
    [steps] = rows(database, "SELECT count() AS n FROM agent_steps FINAL")
    assert steps["n"] == runs * SPANS_PER_RUN


def rows(database: Database, sql: str) -> list[dict[str, Any]]:
    """Past all faults."""
    text = database.execute(
        f"{sql} SETTINGS output_format_json_quote_64bit_integers = 0 FORMAT JSONEachRow"
    )
    return [json.loads(line) for line in text.splitlines()]


def until(condition: Callable[[], object], what: str, secs: float = WAIT_SECS) -> None:
    """Wait for it."""
    deadline = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


@contextmanager
def scene(database: Database, data_dir: Path, **settings: object) -> Iterator[Scene]:
    """A collector that writes soon and tells little; watched while it runs."""
    given = {"store_flush_secs": 0.05, "log_level": "warning", **settings}
    collector = CollectorProcess(data_dir, store=database.url, **given)
    with collector:
        one = Scene(collector, database)
        with one.watch:
            yield one
