"""Bodies and answers of the control routes, as /openapi.json shows them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Amount = int | float


class OrderBody(BaseModel):
    """Why, and for how long."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str | None = Field(None, description="in words; the run and the ledger have it")
    expires_secs: Amount | None = Field(
        None, description="how long it stands if nobody answers; as configured without it"
    )


class WideOrderBody(OrderBody):
    """Exactly one of agent, workspace and all."""

    agent: str | None = Field(None, description="runs of this agent that have started by now")
    workspace: str | None = Field(None, description="runs of this workspace that have started")
    all: bool = Field(False, description="every run that has started by now")


class DirectiveAnswer(BaseModel):
    run_id: str | None
    status: str = Field(description="acknowledged or failed")
    at: str | None
    error: str | None


class DirectiveDocument(BaseModel):
    directive_id: str
    action: str
    scope: str = Field(description="run, agent, workspace or everything")
    run_id: str | None
    agent: str | None
    workspace: str | None = Field(description="the only one it reaches runs of")
    status: str = Field(description="requested until an application answers; acknowledged; failed")
    open: bool = Field(description="whether it is still to be delivered")
    reason: str | None
    stop_reason: str | None
    rule: str | None
    rules_version: str | None
    span_ids: list[str] = Field(description="evidence")
    actor: str | None
    approval_id: str | None
    tool_name: str | None
    tool_call_id: str | None
    at: str
    expires_at: str
    sent_to: int = Field(description="applications connected here that have it")
    held_by: int = Field(description="applications connected here that have such a run open")
    answers: list[DirectiveAnswer] = Field(description="one per run that answered")


class AuthorizeBody(BaseModel):
    """A call that is about to be made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["model", "tool", "retrieve"]
    run_id: str | None = None
    trace_id: str | None = Field(None, description="instead of run_id: the trace's run")
    agent: str | None = None
    tool: str | None = None
    tool_call_id: str | None = None
    arguments: dict[str, Any] | None = Field(None, description="without them rules act by name")
    model: str | None = None
    environment: str | None = None
    labels: dict[str, str] = Field(
        default_factory=dict, description="other names that rules match: user_id, tags.team, ..."
    )
    question: str | None = Field(None, description="what a person is asked where one has to be")


class BudgetDocument(BaseModel):
    rule: str
    kind: str
    limit: float
    used: float
    remaining: float


class AuthorizeAnswer(BaseModel):
    decision: Literal["allow", "block", "ask", "pause"]
    reason: str | None
    rule: str | None
    rules_version: str
    stop_reason: str | None = Field(description="what the run ends with where it has to end")
    approval_id: str | None = Field(description="what to ask about again where a person is asked")
    directive_id: str | None
    run_id: str
    warnings: list[str] = Field(description="findings that call for no more than a warning")
    budgets: list[BudgetDocument] = Field(description="of the run as it was last folded")
