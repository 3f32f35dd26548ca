"""What a finding says, in words: which cycle, how often, what changed, what it cost."""

from __future__ import annotations

from otel_agentrun.rules.schema import Budget
from otel_agentrun.rules.trail import Sighting

NAMES_SHOWN_MAX = 8
NANO = 1_000_000_000

NOUNS = {
    "tokens": "tokens", "input_tokens": "input tokens", "output_tokens": "output tokens",
    "steps": "steps", "model_calls": "model calls", "tool_calls": "tool calls",
    "retrievals": "retrievals", "retries": "retries", "plan_steps": "planning steps",
    "depth": "levels of runs", "fan_out": "calls at once",
}  # fmt: skip


def usd(value: float) -> str:
    """Cents and above with two decimals, less with as many as it takes."""
    return f"{value:.2f}" if value >= 1 else f"{value:.6f}".rstrip("0").rstrip(".")


def amount(measure: str, value: float) -> str:
    """`0.42 USD`, `90 s`, `12 tool calls`."""
    if measure == "cost_usd":
        return f"{usd(value)} USD"
    if measure == "wall_secs":
        return f"{value:.4g} s"
    return f"{value:,.10g} {NOUNS[measure]}"


def budget_text(budget: Budget, used: float, limit: float, *, estimated: bool) -> str:
    about = "about " if estimated else ""
    text = f"has used {about}{amount(budget.measure, used)} of {amount(budget.measure, limit)}"
    return text + (", in part estimated from text length" if estimated else "")


def loop_text(sighting: Sighting) -> str:
    count, names = sighting.times, sighting.names
    if sighting.pattern == "repeated_call":
        text = f"`{names[0]}` called {count} times in a row with the same arguments"
        text += _results(sighting)
    elif sighting.pattern == "cycle":
        text = f"{_chain(names)} gone through {count} times with the same arguments"
        text += _results(sighting)
    elif sighting.pattern == "near_duplicate":
        text = f"`{names[0]}` called {count} times in a row with almost the same arguments"
        text += _results(sighting)
    elif sighting.pattern == "reworded":
        text = (
            f"`{names[0]}` called {count} times in a row with the same arguments, to the letter or"
        )
        text += " in other words; the result was the same each time"
    elif sighting.pattern == "unrecorded":
        text = f"`{names[0]}` called {count} times in a row until the run failed; arguments and"
        text += " results are not recorded"
    elif sighting.pattern == "no_progress":
        text = f"{count} calls in a row ({_list(names)}) gave only results that were known already"
    elif sighting.pattern == "ping_pong":
        text = f"agents `{names[0]}` and `{names[1]}` handed to each other, {count} times around"
    elif sighting.pattern == "retry_storm":
        text = f"`{names[0]}` failed {count} times without a success in between"
        kind = sighting.last.step.error_type
        text += f" (last: {kind})" if kind else ""
    else:
        text = f"{count} plans in a row with nothing done in between"
    if sighting.cost_nano_usd:
        text += f"; it cost {usd(sighting.cost_nano_usd / NANO)} USD"
    return text


def _results(sighting: Sighting) -> str:
    if sighting.changed:
        times = "time" if sighting.changed == 1 else "times"
        return f"; results changed {sighting.changed} {times}"
    if sighting.unknown:
        return "; results are not recorded"
    return "; nothing changed between them, the results neither"


def _chain(names: tuple[str, ...]) -> str:
    shown = [f"`{name}`" for name in names[:NAMES_SHOWN_MAX]]
    if len(names) > NAMES_SHOWN_MAX:
        shown.append(f"... ({len(names)} calls)")
    return " → ".join(shown)


def _list(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:NAMES_SHOWN_MAX])
    return shown + (", ..." if len(names) > NAMES_SHOWN_MAX else "")
