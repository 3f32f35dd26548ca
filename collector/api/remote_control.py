"""`ControlOperations` through a running collector's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from collector.api.orders import Authorize, Order
from collector.api.values import Document, NotFoundError, format_time
from collector.ledger.query import LIMIT_MAX, LedgerQuery

__all__ = ["RemoteApprovals", "RemoteControl", "RemoteLedger"]

VERBS = {"kill": "stop", "pause": "pause", "resume": "resume"}


class RemoteControl:
    """`actor` and `workspace` follow from the API key, whatever is given."""

    def __init__(self, ask: Callable[[str, str, Document | None], Any]) -> None:
        """`ask(method, path, body)` gives the answer's document."""
        self._ask = ask

    def direct(self, order: Order, *, actor: str = "", workspace: str = "") -> Document:
        body: Document = {"reason": order.reason or None}
        body["expires_secs"] = order.expires_secs or None
        if order.run_id:
            path = f"/v1/runs/{quote(order.run_id, safe='')}/{VERBS[order.action]}"
        else:
            path = f"/v1/{VERBS[order.action]}"
            body |= {"agent": order.agent or None, "workspace": order.workspace or None}
            body["all"] = order.everything
        directive: Document = self._ask("POST", path, body)
        return directive

    def directive(self, directive_id: str, workspace: str = "") -> Document | None:
        try:
            found: Document = self._ask(
                "GET", f"/v1/directives/{quote(directive_id, safe='')}", None
            )
        except NotFoundError:
            return None
        return found

    def directives(self, *, open_only: bool = False, workspace: str = "") -> list[Document]:
        found: list[Document] = self._ask(
            "GET", f"/v1/directives?open={str(open_only).lower()}", None
        )
        return found

    def authorize(self, asked: Authorize, *, actor: str = "", workspace: str = "") -> Document:
        body = {
            "kind": asked.kind,
            "run_id": asked.run_id or None,
            "trace_id": asked.trace_id or None,
            "agent": asked.agent or None,
            "tool": asked.tool or None,
            "tool_call_id": asked.tool_call_id or None,
            "arguments": None if asked.arguments is None else dict(asked.arguments),
            "model": asked.model or None,
            "environment": asked.environment or None,
            "labels": dict(asked.labels),
            "question": asked.question or None,
        }
        answer: Document = self._ask("POST", "/v1/authorize", body)
        return answer


class RemoteApprovals:
    """`ApprovalOperations`; `actor` and `workspace` as for `RemoteControl`."""

    def __init__(self, ask: Callable[[str, str, Document | None], Any]) -> None:
        self._ask = ask

    def list(self, *, state: str = "", run_id: str = "", workspace: str = "") -> list[Document]:
        given = {name: text for name, text in (("state", state), ("run", run_id)) if text}
        found: list[Document] = self._ask("GET", f"/v1/approvals?{urlencode(given)}", None)
        return found

    def answer(
        self,
        run_id: str,
        *,
        approve: bool,
        approval_id: str = "",
        comment: str = "",
        actor: str = "",
        workspace: str = "",
    ) -> Document:
        verb = "approve" if approve else "refuse"
        body = {"approval": approval_id or None, "reason": comment or None}
        approval: Document = self._ask("POST", f"/v1/runs/{quote(run_id, safe='')}/{verb}", body)
        return approval


class RemoteLedger:
    """`LedgerOperations`."""

    def __init__(self, ask: Callable[[str, str, Document | None], Any]) -> None:
        self._ask = ask

    def entries(self, query: LedgerQuery) -> list[Document]:
        """Without a limit as many as one answer may hold."""
        given = {"run": query.run_id} if query.run_id else {}
        for name, time_ns in (("since", query.since_ns), ("until", query.until_ns)):
            if time_ns is not None:
                given[name] = format_time(time_ns)
        given["limit"] = str(LIMIT_MAX if query.limit is None else query.limit)
        found: list[Document] = self._ask("GET", f"/v1/ledger?{urlencode(given)}", None)
        return found

    def verify(self) -> Document:
        report: Document = self._ask("GET", "/v1/ledger/verify", None)
        return report
