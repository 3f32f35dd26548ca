"""What people and gateways tell a collector about running agents, checked; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from collector.api.values import TEXT_MAX, Document, RequestError

__all__ = ["ApprovalOperations", "Authorize", "ControlOperations", "Order"]

OrderAction = Literal["kill", "pause", "resume"]
REASON_MAX: Final = 4096
EXPIRES_SECS_MAX: Final = 30 * 86_400.0
ARGUMENTS_MAX: Final = 1000
"""Names in the arguments of one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Stop, pause or resume: one run, or every run of an agent, a workspace, or at all that has
    started by now.  Raises RequestError unless exactly one scope is named."""

    action: OrderAction
    run_id: str = ""
    agent: str = ""
    workspace: str = ""
    everything: bool = False
    reason: str = ""
    expires_secs: float = 0.0
    """How long it stands if nobody answers; 0: as configured."""

    def __post_init__(self) -> None:
        texts = (self.run_id, self.agent, self.workspace)
        if sum(map(bool, (*texts, self.everything))) != 1:
            raise RequestError(
                "exactly one of a run id, agent, workspace and all is needed",
                "Name what to stop; see docs/control.md.",
            )
        if any(len(text) > TEXT_MAX for text in texts) or len(self.reason) > REASON_MAX:
            raise RequestError(
                f"names have at most {TEXT_MAX} characters, a reason {REASON_MAX}", "Shorten it."
            )
        if not 0 <= self.expires_secs <= EXPIRES_SECS_MAX:
            raise RequestError(
                f"expires_secs: expected 0 to {EXPIRES_SECS_MAX:.0f}, got {self.expires_secs}",
                "Leave it out for the configured time.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorize:
    """May this call be made?  Asked by gateways and framework hooks that no span processor sees."""

    kind: Literal["model", "tool", "retrieve"]
    run_id: str = ""
    trace_id: str = ""
    agent: str = ""
    tool: str = ""
    tool_call_id: str = ""
    arguments: Mapping[str, Any] | None = None
    """`None`: not known; a rule that looks at them acts by name then."""
    model: str = ""
    environment: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Other names that a rule's `match` may look at: `user_id`, `task_type`, `tags.team`, ..."""
    question: str = ""
    """What a person is asked where the answer is `ask`; "" makes one from the call."""

    def __post_init__(self) -> None:
        problems = []
        if not self.run_id and not self.trace_id:
            problems.append("run_id or trace_id is needed")
        if self.kind == "model" and not self.model:
            problems.append("model is needed for a model call")
        if self.kind == "tool" and not self.tool:
            problems.append("tool is needed for a tool call")
        names = (
            *(self.run_id, self.trace_id, self.agent, self.tool, self.tool_call_id, self.model),
            *(self.environment, *self.labels, *self.labels.values()),
        )
        if any(len(name) > TEXT_MAX for name in names):
            problems.append(f"names have at most {TEXT_MAX} characters")
        if len(self.arguments or ()) > ARGUMENTS_MAX or len(self.labels) > ARGUMENTS_MAX:
            problems.append(f"at most {ARGUMENTS_MAX} arguments and labels are looked at")
        if len(self.question) > REASON_MAX:
            problems.append(f"question: at most {REASON_MAX} characters")
        if problems:
            raise RequestError("authorize: " + "; ".join(problems), "See docs/control.md.")


class ApprovalOperations(Protocol):
    """Questions to people.  `workspace` as for `ControlOperations`."""

    def list(self, *, state: str = "", run_id: str = "", workspace: str = "") -> list[Document]:
        """Newest first: pending ones, and those that were answered a while ago at most."""

    def answer(
        self,
        run_id: str,
        *,
        approve: bool,
        approval_id: str = "",
        comment: str = "",
        actor: str,
        workspace: str = "",
    ) -> Document:
        """Approve or refuse: the approval as it is then.

        Raises NotFoundError, ConflictError for what is answered or too late, RetryableError.
        """


class ControlOperations(Protocol):
    """What can be done about running agents.  `workspace` is the only one the caller reaches; ""
    for all.

    Raises RequestError for bad input, NotFoundError for an unknown run, ConflictError for one that
    has ended, RetryableError while nothing can be journaled, StoreError.
    """

    def direct(self, order: Order, *, actor: str, workspace: str = "") -> Document:
        """Record a directive and send it: its document, status `requested`."""

    def directive(self, directive_id: str, workspace: str = "") -> Document | None:
        """A directive as it stands."""

    def directives(self, *, open_only: bool = False, workspace: str = "") -> list[Document]:
        """Directives, newest first."""

    def authorize(self, asked: Authorize, *, actor: str, workspace: str = "") -> Document:
        """Allow, block, ask or pause, and why."""
