"""Recorded conversations as steps: what an agent did, without any loop of ours in it."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.rules import Seen
from otel_agentrun.sketch import sketch
from otel_agentrun.step import Kind, Status, Step, Usage

VARIABLE: Final = "AGENTRUN_TAU_BENCH"
FILE: Final = "tau-bench-airline-gpt-4o.json"
BASE_NS: Final = 1_760_000_000_000_000_000
SECOND_NS: Final = 1_000_000_000
CALL_NANO_USD: Final = 2_000_000


def path() -> Path | None:
    """The file, if it is on this machine."""
    named = os.environ.get(VARIABLE)
    near = [parent / "data" / FILE for parent in Path(__file__).resolve().parents[3:5]]
    found = [Path(named)] if named else near
    return next((each for each in found if each.is_file()), None)


def make(number: int, **fields: Any) -> Step:
    """Step `number` of a run, one a second."""
    return Step(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        parent_span_id="f" * 16,
        version=1,
        dialect="genai",
        start_ns=BASE_NS + number * SECOND_NS,
        end_ns=BASE_NS + number * SECOND_NS + SECOND_NS // 2,
        **fields,
    )


def model(number: int) -> Seen:
    usage = Usage(input_tokens=1000, output_tokens=50)
    step = make(number, kind=Kind.MODEL, name="chat", model="gpt-4o", usage=usage)
    return Seen(step, CALL_NANO_USD)


def call(number: int, tool: str, given: str, result: str | None, *, failed: bool = False) -> Seen:
    step = make(
        number,
        kind=Kind.TOOL,
        name=f"execute_tool {tool}",
        tool_name=tool,
        arguments_digest=arguments.digest(given),
        arguments_sketch=sketch(given),
        result_digest=arguments.result_digest(result),
        output_bytes=len(result or ""),
        status=Status.ERROR if failed else Status.SUCCESS,
    )
    return Seen(step, 0)


@cache
def trajectories() -> tuple[tuple[Seen, ...], ...]:
    """One tuple of steps a conversation, in order; none without the file."""
    found = path()
    if found is None:
        return ()
    with found.open(encoding="utf-8") as file:
        return tuple(_steps(each["traj"]) for each in json.load(file))


def _steps(messages: list[dict[str, Any]]) -> tuple[Seen, ...]:
    results = {m["tool_call_id"]: m["content"] for m in messages if m["role"] == "tool"}
    steps: list[Seen] = []
    for message in messages:
        if message["role"] != "assistant":
            continue
        steps.append(model(len(steps) + 1))
        for asked in message.get("tool_calls") or ():
            result = results.get(asked["id"])
            steps.append(
                call(
                    len(steps) + 1,
                    asked["function"]["name"],
                    asked["function"]["arguments"],
                    result,
                    failed=bool(result) and result.startswith("Error"),
                )
            )
    return tuple(steps)
