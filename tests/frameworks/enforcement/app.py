"""An application with an agent of one framework, played by its interpreter as it is told.

    python -m tests.frameworks.enforcement.app langgraph http://127.0.0.1:1234/v1

Standard input has a JSON document per line: `{"scenario": ..., "mode": ...}` or `{"flush": true}`.
Standard output answers with lines: in between `{"open": run_id}`, and `{"working": true}` where a
tool waits for a line; a result at the end.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from opentelemetry import trace

import otel_agentrun as agentrun
from tests.frameworks.enforcement.scenarios import (
    BESIDE_ROUNDS,
    LOCAL_RULES,
    SCENARIOS,
    Scenario,
    by_name,
)

NEXT = Scenario(name="next", says="the run after it", rounds=1, has_rules=False)
BESIDE = Scenario(name="other", says="the run beside it", rounds=BESIDE_ROUNDS)
GATES = {"processor.py": "span", "guard.py": "guard", "agent_step.py": "step"}
"""Module of ours that the exception came through -> what refused to go on: where a span started,
where a request was to be sent, or a step of ours itself."""


def say(**said: Any) -> None:
    sys.stdout.write(f"{json.dumps(said)}\n")
    sys.stdout.flush()


class Stage:
    """What the tools of the agents do, and how often they did it."""

    def __init__(self) -> None:
        self.scenario = NEXT
        self.calls = 0

    def begin(self, scenario: Scenario) -> None:
        self.scenario, self.calls = scenario, 0

    def tools(self, is_async: bool) -> list[Callable[..., Any]]:
        """Those that are offered to the model."""

        def search_docs(query: str) -> str:
            """Search the handbook."""
            self.calls += 1
            if self.calls == self.scenario.holds_at:
                say(working=True)
                sys.stdin.readline()
            # A result of its own for each question: what repeats is said by the question.
            return f"The page about {query}."

        def refund(query: str) -> str:
            """Refund an order."""
            if self.scenario.name == "ask":
                run = agentrun.current_run()
                assert run is not None
                run.require_approval("Refund?", tool="refund", timeout_secs=30)
            self.calls += 1
            return "Refunded."

        async def refund_async(query: str) -> str:
            if self.scenario.name == "ask":
                run = agentrun.current_run()
                assert run is not None
                await run.require_approval_async("Refund?", tool="refund", timeout_secs=30)
            self.calls += 1
            return "Refunded."

        async def search_docs_async(query: str) -> str:
            return search_docs(query)

        if not is_async:
            return [search_docs, refund]
        return [
            _named(search_docs_async, search_docs),
            _named(refund_async, refund),
        ]


def _named(function: Callable[..., Any], like: Callable[..., Any]) -> Callable[..., Any]:
    function.__name__, function.__doc__ = like.__name__, like.__doc__
    function.__qualname__ = like.__qualname__
    return function


class Player:
    """Plays scenarios with the agents of one module."""

    def __init__(self, name: str, model_url: str) -> None:
        self.agents = importlib.import_module(f"tests.frameworks.enforcement.agents.{name}")
        self.installed = agentrun.install(service_name=name)
        assert self.installed.tracer_provider is not None
        self.agents.instrument(self.installed.tracer_provider)
        self.model_url = model_url
        self.stage = Stage()
        self._built: dict[str, Callable[[str], Any]] = {}

    def agent(self, mode: str) -> Callable[[str], Any]:
        if mode not in self._built:
            is_async = self.agents.MODES[mode] and not getattr(self.agents, "SYNC_TOOLS", False)
            tools = self.stage.tools(is_async)
            self._built[mode] = self.agents.build(mode, self.model_url, tools)
        return self._built[mode]

    def play(self, scenario: Scenario, mode: str) -> dict[str, Any]:
        """A run, where the scenario says so another one beside it, and one after it in the same
        thread (and event loop)."""
        agent = self.agent(mode)
        began = time.monotonic()
        runs: dict[str, dict[str, Any]] = {}
        plays = [scenario, *([BESIDE] if scenario.name == "beside" else []), NEXT]
        attempts = [self._attempt(each, f"{scenario.name}/{mode}", runs) for each in plays]
        if self.agents.MODES[mode]:

            async def one(each: AbstractContextManager[Attempt]) -> None:
                with each as attempt:
                    await attempt.run_async(agent)

            async def all_of_them() -> None:
                await asyncio.gather(*map(one, attempts[:-1]))
                await one(attempts[-1])

            asyncio.run(all_of_them())
        else:

            def run(each: AbstractContextManager[Attempt]) -> None:
                with each as attempt:
                    attempt.run(agent)

            beside = [threading.Thread(target=run, args=[each]) for each in attempts[1:-1]]
            for thread in beside:
                thread.start()
            run(attempts[0])
            for thread in beside:
                thread.join()
            run(attempts[-1])
        result = runs.pop(scenario.name)
        return {**result, **runs, "secs": round(time.monotonic() - began, 3)}

    @contextmanager
    def _attempt(
        self, scenario: Scenario, play: str, runs: dict[str, dict[str, Any]]
    ) -> Iterator[Attempt]:
        """What comes out of it is in `runs`, and never an exception."""
        assert self.installed.processor is not None
        self.installed.processor.use_rules(LOCAL_RULES if scenario.has_rules else None)
        if scenario is not BESIDE:
            self.stage.begin(scenario)
        name = f"{play}/{scenario.name}" if scenario in (BESIDE, NEXT) else play
        attempt = Attempt(scenario, name, self.model_url)
        error: BaseException | None = None
        try:
            yield attempt
        except BaseException as raised:
            if isinstance(raised, KeyboardInterrupt | SystemExit):
                raise
            error = raised
        runs[scenario.name] = {**attempt.found(error), "tools": self.stage.calls}


class Attempt:
    """One run."""

    def __init__(self, scenario: Scenario, play: str, model_url: str) -> None:
        self.scenario = scenario
        self.question = scenario.question(play)
        self.model_url = model_url
        self.run_id = ""
        self.answer: Any = None
        self.is_cleaned_up = False

    def run(self, agent: Callable[[str], Any]) -> None:
        if not self.scenario.has_run:
            self.answer = self._within(lambda: agent(self.question))
            return
        with agentrun.run(self.scenario.name, input=self.question) as run:
            self._open(run)
            self.answer = self._within(lambda: agent(self.question))
            run.respond(str(self.answer))

    async def run_async(self, agent: Callable[[str], Any]) -> None:
        if not self.scenario.has_run:
            await self._awaited(agent)
            return
        async with agentrun.run(self.scenario.name, input=self.question) as run:
            self._open(run)
            await self._awaited(agent)
            run.respond(str(self.answer))

    def _within(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            self._clean_up()

    async def _awaited(self, agent: Callable[[str], Any]) -> None:
        try:
            self.answer = await agent(self.question)
        finally:
            self._clean_up()

    def _open(self, run: Any) -> None:
        self.run_id = run.run_id
        say(open=run.run_id)

    def _clean_up(self) -> None:
        """What a `finally` block does in a run that was stopped: nothing of it is refused."""
        root = self.model_url.removesuffix("/v1")
        httpx.post(f"{root}/orders/rollback", json={}, timeout=10).raise_for_status()
        database = trace.get_tracer("opentelemetry.instrumentation.sqlalchemy")
        with database.start_as_current_span("ROLLBACK"):
            self.is_cleaned_up = True

    def found(self, error: BaseException | None) -> dict[str, Any]:
        stop = agentrun.stopped_by(error)
        said = {} if stop is None else {"reason": stop.stop_reason, "rule": stop.rule}
        return {
            "run_id": self.run_id or (stop.run_id if stop is not None else ""),
            "answer": None if self.answer is None else str(self.answer),
            "error": "" if error is None else type(error).__name__,
            "message": "" if error is None else str(error)[:500],
            "stop": said,
            "stopped_id": stop.run_id if stop is not None else "",
            "gate": gate_of(error),
            "is_cleaned_up": self.is_cleaned_up,
        }


def gate_of(error: BaseException | None) -> str:
    """What raised the RunStopped behind an exception; "" none, or not by a gate."""
    stop = agentrun.stopped_by(error)
    if isinstance(stop, agentrun.RunStoppedError):  # at the boundary; it has the other as its cause
        stop = agentrun.stopped_by(stop.__cause__)
    at = stop.__traceback__ if stop is not None else None
    found = ""
    while at is not None:
        path = Path(at.tb_frame.f_code.co_filename)
        if path.parent.name == "otel_agentrun":
            found = GATES.get(path.name, found)
        at = at.tb_next
    return found


def main(name: str, model_url: str) -> None:
    player = Player(name, model_url)
    say(ready=True)
    for line in iter(sys.stdin.readline, ""):
        command = json.loads(line)
        if "flush" in command:
            say(flushed=player.installed.flush(10))
        else:
            say(**player.play(by_name(command["scenario"]), command["mode"]))


assert NEXT not in SCENARIOS
if __name__ == "__main__":
    main(*sys.argv[1:])
