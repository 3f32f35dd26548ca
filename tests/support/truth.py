"""What the collector makes of a capture, compared with the scripted truth in its `meta.yaml`.

A field that an emitter does not send is a gap: data beside the capture (`gaps.yaml`, a list of
`{runs, but, fields, why}`), so that a gap which closes is noticed as well as one that opens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import yaml

from collector.normalize import events_of, steps_of
from collector.receiver.decode import Decoder
from collector.receiver.otlp_json import iter_requests
from collector.runs.assembler import Assembler
from collector.runs.judge import RulesInForce
from collector.runs.run import Changes, PlacedStep, Run
from otel_agentrun import dialects
from otel_agentrun.rules import DEFAULTS, Ruleset, RulesFile
from otel_agentrun.step import Event, Kind, SpanView, Step
from tests.support import captures

NUMBERS: Final[Mapping[str, str]] = {
    "model_calls": "model_calls",
    "model_errors": "model_errors",
    "tool_errors": "tool_errors",
    "input_tokens": "input_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
}
"""Field of the truth -> field of `Run.total`."""
FAILED: Final = frozenset({"failed", "killed", "timed_out"})
RULES: Final = Ruleset(RulesFile(), DEFAULTS)
"""Those that apply without a rules file."""
NOW_NS: Final = 1_795_300_000_000_000_000
Gaps = dict[tuple[str, str], tuple[Any, Any]]
"""(run, field) -> (got, truth)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A capture as the pipeline hands it to the fold."""

    source: str
    batches: Sequence[pa.RecordBatch]
    requests: Sequence[Sequence[Step]]
    """Steps by export request, in the order they were sent."""
    events: Sequence[Event]
    views: Mapping[tuple[str, str], SpanView]
    logs: Mapping[str, Sequence[Event]]

    @property
    def steps(self) -> list[Step]:
        return [step for request in self.requests for step in request]


def load(source: str) -> Capture:
    """Through the collector's own decoder."""
    path = captures.folder(source)
    decoder = Decoder()
    batches: list[pa.RecordBatch] = []
    events: list[Event] = []
    for file in sorted(path.glob("*.otlp.json")):
        for signal, _, body in iter_requests(file):
            if signal.value == "traces":
                batches.append(decoder.traces_json(body, received_at_ns=NOW_NS).batch)
            else:
                events += events_of(decoder.logs_json(body, received_at_ns=NOW_NS).batch)
    logs: dict[str, list[Event]] = {}
    for event in captures.events(path):
        logs.setdefault(event.span_id, []).append(event)
    return Capture(
        source=source,
        batches=batches,
        requests=[steps_of(batch) for batch in batches],
        events=events,
        views={(view.trace_id, view.span_id): view for view in captures.spans(path)},
        logs=logs,
    )


def judging() -> Assembler:
    """An assembler with the default rules."""
    return Assembler(rules=RulesInForce(RULES))


def assembled(
    capture: Capture, start: Callable[[], Assembler] = judging
) -> tuple[Changes, list[Event]]:
    """Everything at once, then closed as an ingest closes; also the events that closed it."""
    assembler = start()
    assembler.add(capture.steps, NOW_NS)
    for event in capture.events:
        assembler.add_event(event, NOW_NS)
    assembler.changes()
    closing = assembler.quiet(NOW_NS, everything=True)
    fresh = start()
    fresh.add(capture.steps, NOW_NS)
    for event in [*capture.events, *closing]:
        fresh.add_event(event, NOW_NS)
    changes = fresh.changes()
    assert not assembler.failures
    assert not fresh.failures
    return changes, closing


def differences(capture: Capture, changes: Changes) -> tuple[Gaps, list[str]]:
    """(fields that are less than the truth, what is wrong: more than the truth, split, merged)."""
    roots = [run for run in changes.runs if not run.parent_run_id]
    truths = captures.truth(captures.folder(capture.source))["runs"]
    owners = Counter(trace_id for truth in truths for trace_id in truth["trace_ids"])
    used: Counter[str] = Counter()
    gaps: Gaps = {}
    faults: list[str] = []
    for truth in truths:
        name = truth["run"]
        traces = set(truth["trace_ids"])
        either = set(truth.get("trace_ids_any_of") or ())  # concurrent runs nobody can tell apart
        if not traces | either:
            continue  # the emitter sent nothing for this run
        found = [run for run in roots if traces & set(run.trace_ids)]
        if not traces:
            found = [r for r in roots if either & set(r.trace_ids) and not used[r.run_id]][:1]
        if any(owners[trace_id] > 1 for trace_id in traces):
            found = [r for r in found if f"(ref: {name})" in _task(capture, r)] or found
        if not found:
            faults.append(f"{name}: absent")
            continue
        if len(found) > 1 and len(traces) == 1:
            faults.append(f"{name}: split into {len(found)}")
        used.update(run.run_id for run in found)
        _compare(truth, found, changes, gaps, faults)
        if not any(f"(ref: {name})" in _task(capture, run) for run in found):
            gaps[name, "task"] = ("", name)
    faults += [f"{run_id}: {number} runs merged" for run_id, number in used.items() if number > 1]
    return gaps, faults


def _compare(
    truth: dict[str, Any], found: list[Run], changes: Changes, gaps: Gaps, faults: list[str]
) -> None:
    name, want = truth["run"], truth["expected"]
    failed = truth["outcome"] != "completed"
    got = {field: sum(getattr(run.total, ours) for run in found) for field, ours in NUMBERS.items()}
    got["model_calls"] -= got["model_errors"]  # the truth counts the answered ones
    for field, number in got.items():
        if number < want[field]:
            gaps[name, field] = (number, want[field])
        elif number > want[field]:
            faults.append(f"{name}: {field} is {number}, truth {want[field]}")
    tools, asked = _tools(found, changes), want["tool_calls"]
    # When a limit or an exception ended the run, the last call may not have been made.
    good = tools == asked or (failed and tools == asked[:-1])
    good = good or (name.startswith("parallel") and sorted(tools) == sorted(asked))
    if not good and set(tools) <= set(asked) and len(tools) < len(asked):
        gaps[name, "tool_calls"] = (tools, asked)
    elif not good:
        faults.append(f"{name}: tools {tools}, truth {asked}")
    is_loop = any(each.kind == "loop" for run in found for each in run.findings)
    if want["loops"] and not is_loop:
        gaps[name, "loops"] = (is_loop, want["loops"])
    elif is_loop and not want["loops"]:
        faults.append(f"{name}: {[each.explanation for run in found for each in run.findings]}")
    requested = _requested(found, changes)
    if requested != asked and not (
        name.startswith("parallel") and sorted(requested) == sorted(asked)
    ):
        gaps[name, "tool_requests"] = (requested, asked)
    states = {run.status for run in found}
    if failed and not states <= FAILED:
        gaps[name, "status"] = (sorted(states), truth["outcome"])
    elif not failed and states != {"completed"}:
        faults.append(f"{name}: status {sorted(states)}, truth {truth['outcome']}")


def _tools(found: Iterable[Run], changes: Changes) -> list[str]:
    """Tools of these runs and their descendants, in order of start."""
    tools = [p.step for p in _placed(found, changes) if p.step.kind is Kind.TOOL]
    return [step.tool_name for step in tools]


def _requested(found: Iterable[Run], changes: Changes) -> list[str]:
    """Tools the model asked for, each call once, whichever of its spans says so."""
    calls: dict[str, list[str]] = {}
    for placed in _placed(found, changes):
        step = placed.step
        if step.kind is Kind.MODEL:
            names = calls.setdefault(placed.duplicate_of or step.span_id, [])
            if not names:
                names += [request.name for request in step.tool_requests]
    return [name for names in calls.values() for name in names]


def _placed(found: Iterable[Run], changes: Changes) -> list[PlacedStep]:
    """Steps of these runs and their descendants, in order of start."""
    wanted = {run.run_id for run in found}
    own = {run.run_id for run in changes.runs if run.root_run_id in wanted or run.run_id in wanted}
    return sorted((p for p in changes.steps if p.run_id in own), key=lambda p: p.step.key)


def _task(capture: Capture, run: Run) -> str:
    keys = [(trace_id, run.root_span_id) for trace_id in run.trace_ids] + [run.input_span]
    for key in keys:
        view = capture.views.get(key)
        if view is None:
            continue
        content = dialects.content(view, capture.logs.get(view.span_id, ()))
        if text := content.input or dialects.task(content):
            return text
    return ""


def declared(source: str) -> list[dict[str, Any]]:
    """`gaps.yaml`: a list of {runs (`all` or names), but (names), fields, why}."""
    path = captures.folder(source) / "gaps.yaml"
    return yaml.safe_load(path.read_text()) if path.exists() else []


def why_missing(source: str, run: str, field: str) -> str:
    """Why the emitter does not tell this field of this run; "" where it does."""
    for gap in declared(source):
        of_run = run not in gap.get("but", ()) if gap["runs"] == "all" else run in gap["runs"]
        if of_run and field in gap["fields"]:
            return str(gap["why"])
    return ""


def expected_gaps(source: str) -> dict[tuple[str, str], str]:
    """(run, field of the truth) -> why the emitter does not tell it."""
    found: dict[tuple[str, str], str] = {}
    for truth in captures.truth(captures.folder(source))["runs"]:
        if not truth["trace_ids"] and not truth.get("trace_ids_any_of"):
            continue
        something = {field for field, value in truth["expected"].items() if value}
        something.add("task")
        if "tool_calls" in something:
            something.add("tool_requests")
        if truth["outcome"] != "completed":
            something.add("status")
        for field in something:
            if why := why_missing(source, truth["run"], field):
                found[truth["run"], field] = why
    return found
