"""Runs, steps and events as the JSON documents of docs/api.md.

Times are RFC 3339 in UTC with nine decimals, durations milliseconds, money US dollars; absent is
`None`.  Unknown is not zero: a cost without a price and tokens that nobody sent are `None` too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from collector.runs.run import COUNT_NAMES, Counts, PlacedStep, Run
from otel_agentrun import semconv
from otel_agentrun.dialects import Content
from otel_agentrun.step import Event, Kind, Role, SpanView, Step, Usage, as_number, as_text

Document = dict[str, Any]

NANO: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
TOKENS: Final = tuple(name for name in COUNT_NAMES if name.endswith("_tokens"))
NUMBERS: Final = tuple(name for name in COUNT_NAMES if not name.endswith(("_tokens", "_usd")))
TOKENS_MISSING: Final = "tokens_missing"
BRANCH: Final = semconv.STEP_BRANCH
"""Which of several parallel branches a step is in, as the application names it."""
PROMPT: Final = "gen_ai.prompt.name"
"""What a header of the export request may say of spans that do not."""
UNKNOWN: Final = "unknown"
NO_CONTENT: Final = Content()
NO_USAGE: Final = Usage()


class Waiting(Protocol):
    """A pending approval: `collector.runs.approvals.Approval`, which shows times as done here."""

    @property
    def approval_id(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def tool_name(self) -> str: ...
    @property
    def requested_at_ns(self) -> int: ...
    @property
    def expires_at_ns(self) -> int: ...


def rfc3339(ns: int) -> str | None:
    """`2026-11-20T09:00:00.000000000Z`; `None` for 0."""
    if ns == 0:
        return None
    seconds, rest = divmod(ns, NANO)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def milliseconds(ns: int) -> float:
    return ns / NS_PER_MS


def usd(nano_usd: int | None) -> float | None:
    return None if nano_usd is None else nano_usd / NANO


def run_document(
    run: Run,
    input: str | None = None,
    output: str | None = None,
    waiting: Sequence[Waiting] = (),
) -> Document:
    """`input` and `output` are content, read back from the store; `None` where it has expired.
    `waiting` are its pending approvals."""
    ended = run.ended_at_ns
    duration_ns = max(ended - run.started_at_ns, 0)
    return {
        "run_id": run.run_id,
        "parent_run_id": run.parent_run_id or None,
        "root_run_id": run.root_run_id or None,
        "child_run_ids": list(run.child_run_ids),
        "trace_ids": list(run.trace_ids),
        **_texts(
            run,
            "session_id", "session_name", "session_path", "conversation_id", "request_id",
            "agent_name", "agent_id", "agent_role", "agent_type", "agent_version",
            "workflow_name", "task_type", "service_name", "environment", "workspace",
            "department", "virtual_key", "user_id", "trigger", "execution", "status",
            "stop_reason", "outcome", "failure_mode", "error_type", "error_message",
            "error_span_id",
        ),
        "started_at": rfc3339(run.started_at_ns),
        "ended_at": rfc3339(ended),
        "duration_ms": milliseconds(duration_ns) if ended else None,
        "busy_ms": milliseconds(run.busy_ns),
        "paused_ms": milliseconds(run.paused_ns),
        "input": input,
        "input_structure": _parsed(run.input_structure),
        "output": output,
        **_texts(run, "output_type", "result_ref"),
        **_counts(run),
        "max_depth": run.max_depth,
        "max_fan_out": run.max_fan_out,
        **_money(run.own, run.cost_confidence, ""),
        **_money(run.total, run.cost_confidence_total, "_total"),
        **_texts(run, "cost_source", "price_version"),
        "budgets": [
            {
                "rule": use.rule,
                "kind": use.kind,
                "limit": use.limit,
                "used": use.used,
                "remaining": use.remaining,
            }
            for use in run.budgets
        ],
        "pending_approvals": [
            {
                "id": approval.approval_id,
                "question": approval.question or None,
                "tool": approval.tool_name or None,
                "requested_at": rfc3339(approval.requested_at_ns),
                "expires_at": rfc3339(approval.expires_at_ns),
            }
            for approval in waiting
        ],
        "models": list(run.models),
        "providers": list(run.providers),
        "tools": list(run.tools),
        "prompt_versions": dict(run.prompt_versions),
        **_texts(
            run,
            "policy_version", "tool_contract_version", "route_config_version", "index_version",
            "app_version",
        ),
        "feature_flags": dict(run.feature_flags),
        "summary": run.summary or None,
        "out_of_scope": run.out_of_scope,
        "findings": [
            {
                "rule": finding.rule,
                "kind": finding.kind,
                "severity": finding.severity,
                "explanation": finding.explanation,
                "span_ids": list(finding.span_ids),
                "at": rfc3339(finding.at_ns),
            }
            for finding in run.findings
        ],
        "quality": {name: _score(value) for name, value in run.quality.items()},
        "tags": dict(run.tags),
        "dialects": list(run.dialects),
        "data_quality": list(run.data_quality),
        "revision": run.revision,
    }  # fmt: skip


def _texts(run: Run, *names: str) -> Document:
    return {name: getattr(run, name) or None for name in names}


def _counts(run: Run) -> Document:
    missing = TOKENS_MISSING in run.data_quality
    found: Document = {}
    for name in (*NUMBERS, *TOKENS):
        for counts, suffix in ((run.own, ""), (run.total, "_total")):
            value = getattr(counts, name)
            unsaid = missing and value == 0 and name in TOKENS
            found[name + suffix] = None if unsaid else value
    return found


def _money(counts: Counts, confidence: str, suffix: str) -> Document:
    known = confidence != UNKNOWN
    cost = usd(counts.cost_nano_usd) if known else None
    revenue = usd(counts.revenue_nano_usd) if counts.revenue_nano_usd else None
    margin = None
    if cost is not None and revenue is not None:
        margin = usd(counts.revenue_nano_usd - counts.cost_nano_usd)
    return {
        f"cost_usd{suffix}": cost,
        f"cost_confidence{suffix}": confidence or None,
        f"cost_breakdown{suffix}": {
            "model": usd(counts.model_cost_nano_usd) if known else None,
            "tool": usd(counts.tool_cost_nano_usd),
            "payment": usd(counts.payment_cost_nano_usd),
        },
        f"revenue_usd{suffix}": revenue,
        f"margin_usd{suffix}": margin,
    }


def _score(text: str) -> str | float:
    """Scores are numbers, labels text."""
    number = as_number(text)
    return text if number is None else number


def _parsed(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


ANSWERING: Final = (Role.NONE, Role.OPENING, Role.CLOSING)
"""Roles of a model call that has a span and is not called the response already."""


def responds(run: Run, step: Step) -> bool:
    """Whether a step is a run's final response: its last model call, when it asks for no tool.

    Which is the last is known once the run has ended; a step that its emitter calls the response
    has that role anyway.
    """
    return (
        run.ended_at_ns > 0
        and run.output_span == (step.trace_id, step.span_id)
        and step.kind is Kind.MODEL
        and step.role in ANSWERING
        and not step.failed
        and not step.tool_requests
    )


def step_document(
    placed: PlacedStep, view: SpanView | None, content: Content | None, rank: int
) -> Document:
    """`view` and `content` are `None` once the raw span has expired; `rank` counts from 1 by
    (start time, span id) within the run."""
    step = placed.step
    usage = step.usage or NO_USAGE
    said = content or NO_CONTENT
    labels: Mapping[str, str] = step.labels
    return {
        "step_id": rank,
        "span_id": step.span_id,
        "parent_span_id": step.parent_span_id or None,
        "trace_id": step.trace_id,
        "run_id": placed.run_id,
        "kind": str(step.kind),
        "role": str(step.role) or None,
        "name": step.name,
        "agent_name": placed.agent_name or None,
        "agent_role": labels.get("agent_role") or None,
        "branch": view.text(BRANCH) or None if view else None,
        "status": str(step.status),
        "error_type": step.error_type or None,
        "error_message": step.error_message or None,
        "started_at": rfc3339(step.start_ns),
        "ended_at": rfc3339(step.end_ns),
        "duration_ms": milliseconds(max(step.end_ns - step.start_ns, 0)),
        "attempt": placed.attempt,
        "retry_of": placed.retry_of or None,
        "retry_reason": step.retry_reason or None,
        "plan_step_id": said.plan_step_id,
        "summary": said.summary,
        "provider": step.provider or None,
        "model": step.model or None,
        "tools_offered": said.tools_offered,
        "context_compacted": said.context_compacted,
        "request": said.request,
        "finish_reasons": list(step.finish_reasons),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": usd(placed.cost_nano_usd),
        "cost_confidence": placed.cost_confidence or None,
        "tool_name": step.tool_name or None,
        "tool_version": said.tool_version,
        "tool_call_id": step.tool_call_id or None,
        "arguments": said.arguments,
        "result": said.result,
        "arguments_valid": said.arguments_valid,
        "query": said.query,
        "data_source": said.data_source,
        "embedding_model": said.embedding_model,
        "filters": said.filters,
        "top_k": said.top_k,
        "documents": said.documents,
        "decision": said.decision,
        "prompt_name": said.prompt_name or (view and as_text(view.ingest.get(PROMPT, ""))) or None,
        "prompt_version": said.prompt_version,
        "prompt_variables": said.prompt_variables,
        "input": said.input,
        "output": said.output,
        "dialect": step.dialect or None,
        "attributes": dict(view.attributes) if view else {},
    }


def event_document(event: Event, run_id: str = "") -> Document:
    return {
        "event_id": event.event_id,
        "name": event.name,
        "at": rfc3339(event.at_ns),
        "run_id": run_id or event.run_id or None,
        "trace_id": event.trace_id or None,
        "span_id": event.span_id or None,
        "body": event.body or None,
        "attributes": dict(event.attributes),
    }
