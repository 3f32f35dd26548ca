"""The application of `bench_control`: agents that go on until somebody stops them.

Reads one JSON object per line, `{"agent", "step_secs", "costs_from"}`, runs that agent, and prints
what came of it.  A process of its own, with the SDK as users install it: clocks are comparable,
since `time.monotonic` is one clock for the whole machine.

    python -m tests.bench.control_agents http://127.0.0.1:4318 http://127.0.0.1:4317 rules.json
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

import otel_agentrun as agentrun
from otel_agentrun import runtime

STEPS_MAX: Final = 2000
COST_USD: Final = 0.02


def main(endpoint: str, control: str, rules: str) -> None:
    agentrun.install(endpoint=endpoint, control=control, rules=rules, service_name="bench")
    for line in sys.stdin:
        say(go_on(**json.loads(line)))


def go_on(agent: str, step_secs: float, costs_from: int) -> dict[str, Any]:
    """One run, each step of which takes `step_secs`; those from the number `costs_from` on cost
    something, the first of them more than any budget of this bench."""
    emitter = runtime.active().emitter
    stream = emitter.stream if emitter is not None else None
    breached = 0.0
    past = -1
    try:
        with agentrun.run(agent) as run:
            say({"run_id": run.run_id})
            for number in range(1, STEPS_MAX):
                cost_usd = COST_USD if number >= costs_from else 0.0
                with agentrun.model("gpt-4.1", provider="openai", cost_usd=cost_usd):
                    time.sleep(step_secs)
                if number == costs_from:
                    breached = time.monotonic()
                past = number - costs_from
    except agentrun.RunStoppedError as stop:
        return {
            "breached": breached, "stopped": time.monotonic(), "steps_past": past,
            "usd_past": past * COST_USD, "stop_reason": stop.stop_reason, "actor": stop.actor,
            "connected": bool(getattr(stream, "is_connected", False)),
        }  # fmt: skip
    return {"error": f"nobody stopped it in {STEPS_MAX} steps"}


def say(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
