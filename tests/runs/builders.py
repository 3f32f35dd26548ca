"""Builders of steps and trace groups: what a test does not name does not matter to it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from collector.runs import events as names
from collector.runs.events import make_event
from collector.runs.heard import telling
from collector.runs.notes import note
from otel_agentrun import semconv
from otel_agentrun.dialects import hearsay
from otel_agentrun.step import Event, Kind, Role, Status, Step, ToolRequest, Usage

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER_TRACE = "1bf7651916cd43dd8448eb211c80319c"
BASE_NS = 1_760_000_000_000_000_000
MS = 1_000_000


def a_step(span: int, parent: int = 0, *, kind: Kind = Kind.OTHER, **fields: Any) -> Step:
    """Span number `span` under span number `parent` (0: none); times in ms from BASE_NS.

    A higher number starts later and ends earlier, unless told otherwise.
    """
    start = fields.pop("start", span)
    end = fields.pop("end", 10_000 - span)
    values: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": f"{span:016x}",
        "parent_span_id": f"{parent:016x}" if parent else "",
        "kind": kind,
        "name": f"{kind.value} {span}",
        "dialect": "" if kind is Kind.OTHER else "genai",
        "scope": "test",
        "start_ns": BASE_NS + start * MS,
        "end_ns": BASE_NS + end * MS,
        "version": 1,
    }
    return Step(**(values | fields))


def agent(span: int, parent: int = 0, name: str = "support", **fields: Any) -> Step:
    fields.setdefault("role", Role.AGENT)
    return a_step(span, parent, kind=Kind.RUN, agent_name=name, **fields)


def model(span: int, parent: int = 0, tokens: int = 100, **fields: Any) -> Step:
    fields.setdefault("usage", Usage(input_tokens=tokens, output_tokens=tokens // 10))
    fields.setdefault("model", "gpt-4o-mini")
    return a_step(span, parent, kind=Kind.MODEL, **fields)


def tool(
    span: int, parent: int = 0, name: str = "search", digest: str = "d", **fields: Any
) -> Step:
    return a_step(span, parent, kind=Kind.TOOL, tool_name=name, arguments_digest=digest, **fields)


def asks(*names: str) -> tuple[ToolRequest, ...]:
    return tuple(ToolRequest(name=name) for name in names)


LABELS = [{"session_id": "s1"}, {"user_id": "u1", "session_id": "s2"}, {"tags.team": "blue"}, {}]


@st.composite
def trace_groups(draw: st.DrawFn) -> tuple[list[Step], list[Event]]:
    """One trace of up to 24 spans in any shape, roots missing, duplicates of calls, and events."""
    count = draw(st.integers(1, 24))
    rng = random.Random(draw(st.integers(0, 2**32)))
    steps = []
    for span in range(1, count + 1):
        parent = rng.choice([0, *range(1, span), 99, 98]) if span > 1 else rng.choice([0, 99])
        start = rng.randrange(0, 200)
        steps.append(any_step(rng, span, parent, start, start + rng.randrange(0, 100)))
    events = [_any_event(rng, number) for number in range(draw(st.integers(0, 4)))]
    events += [_any_message(rng) for _ in range(draw(st.integers(0, 9)))]
    return steps, events


def _any_message(rng: random.Random) -> Event:
    """Part of a history, with whatever else of it missing."""
    span, at = rng.randrange(1, 6), rng.randrange(0, 4)
    called = rng.sample(["c1", "c2", "c3"], k=rng.randrange(0, 3))
    if rng.random() < 0.5:
        return an_assistant_message(
            span, {call_id: rng.choice(["search", "refund"]) for call_id in called}, at=at
        )
    return a_tool_message(span, (*called, "c1")[0], rng.choice(["fine", "Error: no"]), at=at)


def any_step(rng: random.Random, span: int, parent: int, start: int, end: int) -> Step:
    kind = rng.choice([*Kind, Kind.MODEL, Kind.TOOL, Kind.RUN])
    status = rng.choice([Status.SUCCESS, Status.SUCCESS, Status.ERROR, Status.TIMEOUT])
    fields: dict[str, Any] = {
        "start": start,
        "end": end,
        "status": status,
        "scope": rng.choice(["one", "two"]),
        "error_type": "timeout" if status is Status.TIMEOUT else "",
        "labels": rng.choice(LABELS),
        "agent_name": rng.choice(["", "triage", "support"]),
        "run_id": rng.choice(["", "", "", "named-run"]),
    }
    if kind is Kind.RUN:
        fields["role"] = rng.choice([Role.AGENT, Role.AGENT, Role.WORKFLOW, Role.SDK])
    if kind is Kind.OTHER:
        fields["role"] = rng.choice([Role.NONE, Role.OPENING])
    if kind is Kind.MODEL:
        fields["role"] = rng.choice([Role.NONE, Role.NONE, Role.OPENING, Role.CLOSING])
        fields["usage"] = rng.choice(
            [None, Usage(input_tokens=10, output_tokens=2), Usage(input_tokens=20)]
        )
        fields["response_id"] = rng.choice(["", "", "r1", "r2"])
        fields["model"] = rng.choice(["", "gpt-4o-mini", "other"])
        fields["tool_requests"] = asks(*["search"] * rng.randrange(0, 3))
    if kind is Kind.TOOL:
        fields["tool_name"] = rng.choice(["search", "refund"])
        fields["arguments_digest"] = rng.choice(["", "a", "b"])
    if kind in (Kind.RUN, Kind.OTHER):
        fields["usage"] = rng.choice([None, Usage(input_tokens=99, output_tokens=9)])
    return a_step(span, parent, kind=kind, **fields)


def a_note(
    span: int, *tools: str, at: int = 0, reason: str = "", used: Usage | None = None
) -> Event:
    """A log record by which the model call in span number `span` asked for tools."""
    said: dict[str, Any] = {"tool_requests": asks(*tools)} if tools else {}
    if reason:
        said["finish_reasons"] = (reason,)
    if used is not None:
        said["usage"] = used
    record = make_event(
        "gen_ai.choice",
        BASE_NS + at * MS,
        trace_id=TRACE,
        span_id=f"{span:016x}",
        attributes={},
    )
    kept = note(record, said)
    assert kept is not None
    return kept


def an_assistant_message(
    span: int, asked: Mapping[str, str] | None = None, *, at: int = 0, trace_id: str = TRACE
) -> Event:
    """A log record of the model call in span number `span`: the assistant had asked for these
    tools, by call id."""
    calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": f'"{call_id}"'}}
        for call_id, name in (asked or {}).items()
    ]
    return _heard(hearsay.ASSISTANT, span, {"tool_calls": calls}, at, trace_id)


def a_tool_message(
    span: int, call_id: str, result: str = "fine", *, at: int = 0, trace_id: str = TRACE
) -> Event:
    """A log record of the model call in span number `span`: what a tool had returned."""
    return _heard(hearsay.TOOL, span, {"id": call_id, "content": result}, at, trace_id)


def _heard(name: str, span: int, body: Mapping[str, Any], at: int, trace_id: str) -> Event:
    record = Event(
        event_id="",
        name=name,
        at_ns=BASE_NS + at,
        trace_id=trace_id,
        span_id=f"{span:016x}",
        body=json.dumps(body),
    )
    kept = telling(record)
    assert kept is not None
    return kept


def a_report(step: Step) -> Event:
    """What an application tells of a step, with the attributes that our SDK sends."""
    usage = step.usage or Usage()
    said = {
        semconv.RUN_ID: step.run_id,
        semconv.STEP_PHASE: "ended",
        semconv.STEP_NAME: step.name,
        semconv.STEP_KIND: step.kind.value,
        semconv.STEP_STATUS: step.status.value,
        semconv.STEP_PARENT_SPAN_ID: step.parent_span_id,
        semconv.STEP_START_UNIX_NS: step.start_ns,
        semconv.STEP_END_UNIX_NS: step.end_ns,
        semconv.ERROR_TYPE: step.error_type,
        semconv.GEN_AI_AGENT_NAME: step.agent_name,
        semconv.GEN_AI_PROVIDER_NAME: step.provider,
        semconv.GEN_AI_REQUEST_MODEL: step.model,
        semconv.GEN_AI_RESPONSE_ID: step.response_id,
        semconv.GEN_AI_USAGE_INPUT_TOKENS: usage.input_tokens,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: usage.output_tokens,
        semconv.GEN_AI_TOOL_NAME: step.tool_name,
        semconv.TOOL_ARGUMENTS_HASH: step.arguments_digest,
        semconv.TOOL_RESULT_HASH: step.result_digest,
    }
    return replace(
        make_event(
            names.RUN_STEP,
            step.end_ns,
            trace_id=step.trace_id,
            run_id=step.run_id,
            attributes={k: str(v) for k, v in said.items() if v not in (None, "")},
        ),
        span_id=step.span_id,
        event_id=f"report-{step.trace_id}-{step.span_id}-{step.end_ns}",
    )


def _any_event(rng: random.Random, number: int) -> Event:
    if rng.random() < 0.3:
        tools = ["search"] * rng.randrange(0, 3)
        cached = rng.choice([None, 0, 5, 50])
        used = rng.choice([None, Usage(cache_read_tokens=cached), Usage(input_tokens=70)])
        return a_note(rng.randrange(1, 9), *tools, at=number, reason="stop", used=used)
    name = rng.choice(
        [
            names.RUN_STARTED, names.RUN_ENDED, names.RUN_CLOSED, names.FEEDBACK, names.EVALUATION,
            names.PAYMENT,
        ]
    )  # fmt: skip
    return make_event(
        name,
        BASE_NS + number * MS,
        trace_id=TRACE,
        span_id=rng.choice(["", f"{rng.randrange(1, 9):016x}"]),
        run_id=rng.choice(["", TRACE, "named-run"]),
        attributes={
            "agentrun.feedback.name": rng.choice(["rating", "helpful"]),
            "agentrun.feedback.label": rng.choice(["good", "soft_failure"]),
            "agentrun.payment.usd": "0.25",
            "agentrun.stop.reason": rng.choice(["", "completed", "lost", "budget_cost"]),
            "gen_ai.agent.name": rng.choice(["", "announced"]),
            "session.id": rng.choice(["", "s3"]),
        },
    )
