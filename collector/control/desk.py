"""What the API and the command line do with `Control`: whether there is such a run, and whose."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from collector.api.orders import Authorize, Order
from collector.api.values import ConflictError, Document, NotFoundError, RequestError
from collector.control.control import Control
from collector.control.directives import Directive
from collector.errors import ForbiddenError, StoreError
from collector.runs.run import Run

__all__ = ["Authorizes", "Desk"]

OPEN = frozenset({"initiated", "running", "paused"})
SECOND = 1_000_000_000


class Authorizes(Protocol):
    """`collector.control.authorize.Authorizer`."""

    def __call__(self, asked: Authorize, *, actor: str, workspace: str = "") -> Document: ...


class Desk:
    """`ControlOperations` of this process."""

    def __init__(
        self,
        control: Control,
        find: Callable[[str, str], Run | None],
        authorize: Authorizes,
        *,
        enabled: bool = True,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`find(run_id, workspace)` looks in the store; raises StoreError."""
        self._control = control
        self._find = find
        self._authorize = authorize
        self._enabled = enabled
        self._now_ns = now_ns

    def direct(self, order: Order, *, actor: str, workspace: str = "") -> Document:
        """See `ControlOperations`."""
        if not self._enabled:
            raise RequestError(
                "control is switched off in this collector", "Set `control.enabled: true`."
            )
        if workspace and order.workspace and order.workspace != workspace:
            raise ForbiddenError(f"this API key reaches the runs of workspace `{workspace}` only")
        if order.run_id:
            directive = self._for_run(order, workspace)
        elif order.agent:
            directive = Directive(action=order.action, scope="agent", target=order.agent)
        elif order.workspace:
            directive = Directive(action=order.action, scope="workspace", target=order.workspace)
        else:
            directive = Directive(action=order.action, scope="everything")
        now_ns = self._now_ns()
        expires_ns = now_ns + round(order.expires_secs * SECOND) if order.expires_secs else 0
        directive = replace(
            directive,
            reason=order.reason,
            workspace_limit=workspace,
            at_ns=now_ns,
            expires_ns=expires_ns,
        )
        return self._control.direct(directive, actor=actor)

    def directive(self, directive_id: str, workspace: str = "") -> Document | None:
        return self._control.directive(directive_id, workspace)

    def directives(self, *, open_only: bool = False, workspace: str = "") -> list[Document]:
        return self._control.directives(workspace=workspace, open_only=open_only)

    def authorize(self, asked: Authorize, *, actor: str, workspace: str = "") -> Document:
        return self._authorize(asked, actor=actor, workspace=workspace)

    def _for_run(self, order: Order, workspace: str) -> Directive:
        """Raises NotFoundError, ConflictError.  What a connected application says of its own run is
        newer than the store; with the store down a run can be stopped all the same."""
        unknown = NotFoundError(
            f"no run {order.run_id!r}",
            "`agentrun runs list` shows those there are; a run is known once it has said that it "
            "began, or its first spans are stored.",
        )
        held = self._control.sessions.holds(order.run_id)
        if held is not None:
            if workspace and held.workspace != workspace:
                raise unknown
            return Directive(action=order.action, target=order.run_id, workspace=held.workspace)
        try:
            run = self._find(order.run_id, workspace)
        except StoreError:
            return Directive(action=order.action, target=order.run_id, workspace=workspace)
        if run is None:
            raise unknown
        if run.status not in OPEN:
            raise ConflictError(
                f"run {run.run_id!r} has ended: {run.status}"
                + (f" ({run.stop_reason})" if run.stop_reason else ""),
                "There is nothing to be done about it any more.",
            )
        return Directive(
            action=order.action,
            target=run.run_id,
            workspace=run.workspace,
            trace_id=run.trace_ids[0] if run.trace_ids else "",
        )
