"""Why a run has the figures it has: of each span how it was read, and whether and why it counts.

From what the fold placed, not from a second opinion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collector.runs.quality import NOTES
from collector.runs.run import PlacedStep, Run
from otel_agentrun.dialects.explain import explain
from otel_agentrun.dialects.kinds import FUNCTION, NODE, OPENING, OTHER, RUN, TOLD, TRANSPORT
from otel_agentrun.dialects.unrecognized import looks_like_an_agent
from otel_agentrun.step import SpanView, Usage

Document = dict[str, Any]
Views = Mapping[tuple[str, str], SpanView]
"""(trace id, span id) -> the span with all its attributes."""
USAGE = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens",
)  # fmt: skip


def explained(run: Run, placed: Sequence[PlacedStep], views: Views) -> Document:
    """`{run_id, ..., data_quality, spans}`; `placed` are the run's steps in any order."""
    ordered = sorted(placed, key=lambda each: each.step.key)
    taken = _aggregate(run, ordered)
    return {
        "run_id": run.run_id,
        "parent_run_id": run.parent_run_id or None,
        "agent_name": run.agent_name or None,
        "status": run.status,
        "dialects": list(run.dialects),
        "cost_confidence": run.cost_confidence,
        "data_quality": {name: NOTES.get(name, "") for name in run.data_quality},
        "spans": [
            _span(each, views.get((each.step.trace_id, each.step.span_id)), why(each, run, taken))
            for each in ordered
        ],
    }


def outside(views: Sequence[SpanView]) -> list[Document]:
    """Spans of traces in which no agent acts: stored, and in no run."""
    return [
        {
            "span_id": view.span_id,
            "parent_span_id": view.parent_span_id or None,
            "trace_id": view.trace_id,
            "name": view.name,
            "scope": view.scope,
            **_reading(view),
            "counted": False,
            "why": "no agent and no step that counts is in its trace: it is stored, and in no run",
        }
        for view in views
    ]


def why(placed: PlacedStep, run: Run, taken: PlacedStep | None) -> str:
    """In words, why a span counts or does not; `taken` is the one whose aggregate usage does."""
    step = placed.step
    if placed.duplicate_of:
        return (
            f"describes the same model call as {placed.duplicate_of}, which counts; each count "
            "is the innermost span's that states it"
        )
    said = _place(placed, run)
    if placed.counted:
        if placed.retry_of:
            said += f"; repeats {placed.retry_of}, which failed"
        if step.kind.value == "model" and step.usage is None:
            said += "; states no tokens"
        return said
    if placed is taken:
        return f"{said}; its tokens are the run's, as no model span came"
    if step.usage is not None:
        return f"{said}; its tokens are a sum over model calls and are not counted again"
    return said


def _place(placed: PlacedStep, run: Run) -> str:
    step = placed.step
    if placed.counted:
        told = "; it has no span: another one tells of it" if step.role is TOLD else ""
        if step.role is FUNCTION:
            told = ": a model asked for a tool of its name"
        return f"counted as a {step.kind} step{told}"
    if placed.child_run_id and placed.child_run_id != run.run_id:
        return f"the root of child run {placed.child_run_id}, which counts what is below it"
    if step.span_id == run.root_span_id:
        return "the run itself"
    if step.role is TRANSPORT:
        return "transport: kept in the tree, says nothing about the agent"
    if step.role is NODE:
        return "an inner node of the framework"
    if step.role is OPENING:
        return "the request of a streamed call, which a span beside it tells of once it has ended"
    if step.kind is RUN:
        return "an agent or workflow of this run"
    if not step.dialect:
        if looks_like_an_agent(step.scope, step.name, ()):
            return "no dialect reads it, though it looks like an agent's: map it (mappings:)"
        return "no dialect reads it"
    return "its operation is no step" if step.kind is OTHER else "not counted"


def _aggregate(run: Run, ordered: Sequence[PlacedStep]) -> PlacedStep | None:
    if "usage_from_aggregate" not in run.data_quality:
        return None
    return next((p for p in ordered if p.step.usage is not None and not p.counted), None)


def _span(placed: PlacedStep, view: SpanView | None, reason: str) -> Document:
    step = placed.step
    return {
        "span_id": step.span_id,
        "parent_span_id": step.parent_span_id or None,
        "trace_id": step.trace_id,
        "name": step.name,
        "scope": step.scope,
        **(_reading(view) if view else {"dialect": step.dialect or None}),
        "kind": step.kind.value,
        "role": step.role.value or None,
        "status": step.status.value,
        "counted": placed.counted,
        "why": reason,
        "duplicate_of": placed.duplicate_of or None,
        "child_run_id": placed.child_run_id or None,
        "usage": _usage(step.usage),
    }


def _usage(usage: Usage | None) -> Document | None:
    return None if usage is None else {name: getattr(usage, name) for name in USAGE}


def _reading(view: SpanView) -> Document:
    read = explain(view)
    return {
        "dialect": read.dialect or None,
        "decided_by": dict(read.decided_by),
        "fields": [
            {"field": name, "attribute": key, "value": value} for name, key, value in read.fields
        ],
        "worked_out": list(read.worked_out),
        "unread": list(read.unread),
    }
