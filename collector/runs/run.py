"""The run as the fold produces it: one frozen value per run, and where each step was placed.

Field names are those of the JSON document (docs/architecture.md); times are Unix nanoseconds and
money is Int64 nano-USD here, RFC 3339 and decimal USD in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from otel_agentrun.rules.finding import BudgetUse
from otel_agentrun.step import Event, Step, value


@value
class Counts:
    """What adds up.  A run has its own and, with its descendants, a total (`…_total` in JSON)."""

    steps: int = 0
    """plan + model + tool + retrieve + validate."""
    plan_steps: int = 0
    model_calls: int = 0
    """Logical calls, failed ones included."""
    model_errors: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    retrievals: int = 0
    validations: int = 0
    retries: int = 0
    handoffs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    model_cost_nano_usd: int = 0
    tool_cost_nano_usd: int = 0
    payment_cost_nano_usd: int = 0
    revenue_nano_usd: int = 0

    @property
    def cost_nano_usd(self) -> int:
        return self.model_cost_nano_usd + self.tool_cost_nano_usd + self.payment_cost_nano_usd

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{n: getattr(self, n) + getattr(other, n) for n in COUNT_NAMES})


COUNT_NAMES = tuple(f.name for f in fields(Counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule reported: kept on the run with its evidence."""

    rule: str
    kind: str
    severity: str
    explanation: str
    span_ids: tuple[str, ...] = ()
    at_ns: int = 0


@value
class Run:
    """One bounded execution of an agent task.  "" and 0 stand for absent, `None` for unknown."""

    run_id: str
    group_id: str
    """The trace group the run was folded from: its earliest trace's id."""
    parent_run_id: str = ""
    root_run_id: str = ""
    child_run_ids: tuple[str, ...] = ()
    trace_ids: tuple[str, ...] = ()
    tie_ids: tuple[str, ...] = ()
    """Of a client without a span around its calls, ids of tool calls and responses: by these its
    next call, another trace, is known to go on with this run (`collector/runs/clients.py`)."""
    root_span_id: str = ""
    """The span that is the run; "" while it has not arrived."""
    session_id: str = ""
    session_name: str = ""
    session_path: str = ""
    conversation_id: str = ""
    request_id: str = ""
    agent_name: str = ""
    agent_id: str = ""
    agent_role: str = ""
    agent_type: str = ""
    agent_version: str = ""
    workflow_name: str = ""
    task_type: str = ""
    service_name: str = ""
    environment: str = ""
    workspace: str = ""
    department: str = ""
    virtual_key: str = ""
    user_id: str = ""
    trigger: str = ""
    execution: str = ""
    """sync or async."""
    status: str = "running"
    """initiated, running, paused, completed, failed, killed, timed_out."""
    stop_reason: str = ""
    outcome: str = ""
    """success, soft_failure, process_failure or failure."""
    failure_mode: str = ""
    """tool_error, model_error, input_validation, timeout, budget, loop, policy, agent_error."""
    error_type: str = ""
    error_message: str = ""
    error_span_id: str = ""
    started_at_ns: int = 0
    ended_at_ns: int = 0
    """0 while the run is open."""
    busy_ns: int = 0
    """Time covered by at least one counted step."""
    paused_ns: int = 0
    input_span: tuple[str, str] = ("", "")
    """(trace id, span id) whose content is the run's input; read back from the store."""
    output_span: tuple[str, str] = ("", "")
    input_structure: str = ""
    output_type: str = ""
    result_ref: str = ""
    own: Counts = field(default_factory=Counts)
    total: Counts = field(default_factory=Counts)
    max_depth: int = 0
    max_fan_out: int = 0
    cost_confidence: str = "unknown"
    """exact, estimated or unknown, over the run's own model calls."""
    cost_confidence_total: str = "unknown"
    cost_source: str = ""
    """emitter, prices or mixed."""
    price_version: str = ""
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    prompt_versions: Mapping[str, str] = field(default_factory=dict)
    policy_version: str = ""
    tool_contract_version: str = ""
    route_config_version: str = ""
    index_version: str = ""
    app_version: str = ""
    feature_flags: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    out_of_scope: bool = False
    findings: tuple[Finding, ...] = ()
    budgets: tuple[BudgetUse, ...] = ()
    """How far the budgets that apply to it are used up, by it and its descendants."""
    quality: Mapping[str, str] = field(default_factory=dict)
    """Name of an evaluation or feedback -> its latest score or label, as text."""
    tags: Mapping[str, str] = field(default_factory=dict)
    dialects: tuple[str, ...] = ()
    data_quality: tuple[str, ...] = ()
    revision: int = 0
    """Grows with what is known of the trace group; the row with the greatest one is the run."""


@value
class PlacedStep:
    """A step, and what the fold made of it."""

    step: Step
    run_id: str
    group_id: str
    revision: int
    agent_name: str = ""
    """The step's own agent name, else that of its run."""
    counted: bool = True
    """False for duplicates of one model call, `run` and `other`."""
    duplicate_of: str = ""
    """Span id of the step that counts for this one."""
    cost_nano_usd: int | None = None
    cost_confidence: str = ""
    attempt: int = 0
    """1 for the first repetition after an error of the same call, and so on."""
    retry_of: str = ""
    child_run_id: str = ""
    """The run this span is the root of, when that is not `run_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A run row that an earlier fold wrote and the present one does not produce."""

    run_id: str
    group_id: str
    started_at_ns: int
    workspace: str = ""
    replaced_by: str = ""
    """The run that took its steps: the old id still resolves to it."""
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What could not be decoded or stored: never the bytes."""

    at_ns: int
    signal: str
    reason: str
    error: str
    peer: str
    size_bytes: int
    sha256: str
    items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What folding produced since the last flush, ready to store."""

    steps: tuple[PlacedStep, ...] = ()
    runs: tuple[Run, ...] = ()
    removed: tuple[Removed, ...] = ()
    events: tuple[tuple[Event, str, str], ...] = ()
    """(event, run id, group id)."""
    heard_of: tuple[tuple[str, int], ...] = ()
    """(trace id, time) of what may come before the spans of a trace: events while it has none, and
    spans that link to it."""
    findings: tuple[tuple[Event, bool], ...] = ()
    """What rules found, and whether it is new."""
    verdicts: tuple[Event, ...] = ()
    """Those of them that something is to be done about: to be journaled, and not folded yet."""
