"""The documents of the API as types, for OpenAPI: field names, types and units.

Responses are not validated against these at run time (a list of 100,000 runs would pay for it); a
test compares them with what `collector.runs.document` produces.  Times are RFC 3339 in UTC with
nine decimals, durations milliseconds, money US dollars; absent is null.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from collector.api.service import FILTERS, LIMIT_MAX
from collector.api.values import Document
from collector.store.filters import LIMIT_DEFAULT

RunStatus = Literal["initiated", "running", "paused", "completed", "failed", "killed", "timed_out"]
StepStatus = Literal["success", "error", "timeout", "cancelled", "skipped"]
StepKind = Literal["run", "plan", "model", "tool", "retrieve", "validate", "other"]
Confidence = Literal["exact", "estimated", "unknown"]


class CostBreakdown(BaseModel):
    """US dollars by what was paid for."""

    model: float | None
    tool: float | None
    payment: float | None


class PendingApproval(BaseModel):
    """What the run waits for."""

    id: str
    question: str | None
    tool: str | None
    requested_at: str
    expires_at: str | None


class BudgetUse(BaseModel):
    rule: str
    kind: str
    limit: float
    used: float
    remaining: float


class RunFinding(BaseModel):
    """What a rule reported."""

    rule: str
    kind: str = Field(description="budget, loop or policy")
    severity: str
    explanation: str
    span_ids: list[str]
    at: str | None


class _Run(BaseModel):
    run_id: str
    parent_run_id: str | None
    root_run_id: str | None
    child_run_ids: list[str]
    trace_ids: list[str]
    session_id: str | None
    session_name: str | None
    session_path: str | None
    conversation_id: str | None
    request_id: str | None
    agent_name: str | None
    agent_id: str | None
    agent_role: str | None
    agent_type: str | None
    agent_version: str | None
    workflow_name: str | None
    task_type: str | None
    service_name: str | None
    environment: str | None
    workspace: str | None
    department: str | None
    virtual_key: str | None
    user_id: str | None
    trigger: str | None
    execution: Literal["sync", "async"] | None
    status: RunStatus
    stop_reason: str | None
    outcome: Literal["success", "soft_failure", "process_failure", "failure"] | None
    failure_mode: str | None
    error_type: str | None
    error_message: str | None
    error_span_id: str | None
    started_at: str | None
    ended_at: str | None
    duration_ms: float | None
    busy_ms: float | None = Field(description="covered by at least one counted step")
    paused_ms: float | None
    input: Any
    input_structure: Any = Field(description="keys, types and lengths of the input, never values")
    output: Any
    output_type: str | None
    result_ref: str | None
    steps: int = Field(description="plan + model + tool + retrieve + validate")
    plan_steps: int
    model_calls: int = Field(description="logical calls, failed ones included")
    model_errors: int
    tool_calls: int
    tool_errors: int
    retrievals: int
    validations: int
    retries: int
    handoffs: int
    max_depth: int
    max_fan_out: int
    input_tokens: int | None = Field(description="cached ones included")
    output_tokens: int | None = Field(description="reasoning included")
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None = Field(description="null when a price is unknown")
    cost_confidence: Confidence | None
    cost_source: str | None = Field(description="emitter, prices or mixed")
    price_version: str | None
    cost_breakdown: CostBreakdown | None
    revenue_usd: float | None
    margin_usd: float | None
    budgets: list[BudgetUse]
    pending_approvals: list[PendingApproval]
    models: list[str]
    providers: list[str]
    tools: list[str]
    prompt_versions: dict[str, str]
    policy_version: str | None
    tool_contract_version: str | None
    route_config_version: str | None
    index_version: str | None
    app_version: str | None
    feature_flags: dict[str, Any]
    summary: str | None
    out_of_scope: bool | None
    findings: list[RunFinding]
    quality: dict[str, Any] = Field(description="newest score or label by name")
    tags: dict[str, str]
    dialects: list[str]
    data_quality: list[str]
    revision: int = Field(description="grows with what is known of the run")


COUNTS = (
    "steps", "plan_steps", "model_calls", "model_errors", "tool_calls", "tool_errors",
    "retrievals", "validations", "retries", "handoffs", "input_tokens", "output_tokens",
    "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
MONEY = ("cost_usd", "revenue_usd", "margin_usd")

_TWINS: dict[str, Any] = {f"{name}_total": (int | None, ...) for name in COUNTS}
_TWINS |= {f"{name}_total": (float | None, ...) for name in MONEY}
_TWINS |= {
    "cost_confidence_total": (Confidence | None, ...),
    "cost_breakdown_total": (CostBreakdown | None, ...),
}

Run = create_model(
    "Run",
    __base__=_Run,
    __doc__="One run; each `…_total` field includes the run's descendants.",
    **_TWINS,
)


class Step(BaseModel):
    """One step of a run: a span, as the run sees it."""

    model_config = ConfigDict(protected_namespaces=())

    step_id: int = Field(description="rank by start time")
    span_id: str
    parent_span_id: str | None
    trace_id: str
    run_id: str
    kind: StepKind
    role: str | None
    name: str
    agent_name: str | None
    agent_role: str | None
    branch: str | None
    status: StepStatus
    error_type: str | None
    error_message: str | None
    started_at: str
    ended_at: str | None
    duration_ms: float | None
    attempt: int | None
    retry_of: str | None
    retry_reason: str | None
    plan_step_id: str | None
    summary: str | None
    provider: str | None
    model: str | None
    tools_offered: list[str] | None
    context_compacted: bool | None
    request: dict[str, Any] | None
    finish_reasons: list[str] | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None
    cost_confidence: Confidence | None
    tool_name: str | None
    tool_version: str | None
    tool_call_id: str | None
    arguments: Any
    result: Any
    arguments_valid: bool | None
    query: Any
    data_source: str | None
    embedding_model: str | None
    filters: Any
    top_k: int | None
    documents: list[dict[str, Any]] | None
    decision: str | None
    prompt_name: str | None
    prompt_version: str | None
    prompt_variables: dict[str, Any] | None
    input: Any
    output: Any
    dialect: str | None
    attributes: dict[str, Any]


class RunEvent(BaseModel):
    """Something that happened in a run: an evaluation, an exception, feedback, a decision."""

    event_id: str
    name: str
    at: str
    run_id: str | None
    trace_id: str | None
    span_id: str | None
    body: str | None
    attributes: dict[str, str]


class ShownRun(BaseModel):
    run: Run  # type: ignore[valid-type]  # made by create_model
    steps: list[Step]
    events: list[RunEvent]


class ReadField(BaseModel):
    """What of a span became a field of its step or run."""

    field: str
    attribute: str
    value: str
    """Cut to 80 characters."""


class ExplainedSpan(BaseModel):
    """How one span was read, and whether and why it counts."""

    span_id: str
    parent_span_id: str | None
    trace_id: str
    name: str
    scope: str
    dialect: str | None
    decided_by: dict[str, str] = {}
    fields: list[ReadField] = []
    worked_out: list[str] = []
    """Fields that no single attribute says."""
    unread: list[str] = []
    kind: str
    role: str | None
    status: str
    counted: bool
    why: str
    duplicate_of: str | None
    child_run_id: str | None
    usage: dict[str, int | None] | None


class Explained(BaseModel):
    run_id: str
    parent_run_id: str | None
    agent_name: str | None
    status: str
    dialects: list[str]
    cost_confidence: str
    data_quality: dict[str, str]
    """Note -> what it means."""
    spans: list[ExplainedSpan]


class FeedbackBody(BaseModel):
    """One judgment of a run; at least one of score, label and comment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    run_id: str
    name: str
    score: float | None = None
    label: str | None = None
    comment: str | None = None


class RulesBody(BaseModel):
    """A rules file as text: YAML or JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rules: str = Field(max_length=1_000_000)


class RulesInForce(BaseModel):
    version: str = Field(description="digest of what the rules say")
    file: dict[str, Any] = Field(description="all of them, in the form of a rules file")


class BacktestTally(BaseModel):
    flagged: int = Field(description="runs in which this was the severest")
    warned: int
    paused: int
    killed: int
    saved_usd: float = Field(description="cost of what came after runs would have been stopped")
    completed_well_hit: int = Field(description="runs that completed well, paused or killed")
    examples: list[str] = Field(description="run ids, those that completed well first")


class BacktestRule(BacktestTally):
    rule: str
    kind: Literal["budget", "loop", "policy"]


class Backtest(BaseModel):
    rules_version: str
    runs: int
    completed_well: int
    total: BacktestTally
    rules: list[BacktestRule]


class SuggestedGroup(BaseModel):
    agent_name: str
    task_type: str | None
    runs: int
    enough: bool


class Suggested(BaseModel):
    file: dict[str, Any]
    yaml: str
    groups: list[SuggestedGroup]


class FindingDocument(BaseModel):
    check: str
    status: Literal["ok", "warn", "fail"]
    message: str
    hint: str | None


class Ready(BaseModel):
    ready: bool
    checks: list[FindingDocument] | None = Field(description="null without the role `read`")


class Alive(BaseModel):
    status: Literal["ok"]


class Erased(BaseModel):
    """What was erased, in numbers."""

    model_config = ConfigDict(extra="allow")

    runs: int


class ErrorDetail(BaseModel):
    code: str
    message: str
    hint: str | None


class Error(BaseModel):
    error: ErrorDetail


def _parameter(name: str, text: str, **schema: object) -> Document:
    about = {"type": "string", **schema}
    return {"name": name, "in": "query", "required": False, "description": text, "schema": about}


PERIOD: Final = [
    _parameter("since", "started at or after: RFC 3339, or an age such as 15m, 2h, 7d"),
    _parameter("until", "started before: RFC 3339, or an age"),
]
LIST_PARAMETERS: Final = [
    *(_parameter(name, text) for name, text in FILTERS.items()),
    *PERIOD,
    _parameter("tag", "KEY=VALUE; may be repeated"),
    _parameter(
        "limit", "most runs to return", type="integer", default=LIMIT_DEFAULT, maximum=LIMIT_MAX
    ),
]
ERASE_PARAMETERS: Final = [
    _parameter("user", "user id"),
    _parameter("session", "session id"),
    *PERIOD,
]
