"""Routes of the decision ledger: its entries, and whether anybody touched them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import orjson
from fastapi import FastAPI, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from collector.api.control_routes import Answers, Reader
from collector.api.security import tenant
from collector.api.service import Operations
from collector.api.values import TEXT_MAX, NotFoundError, RequestError, parse_time
from collector.errors import ForbiddenError
from collector.ledger.query import LIMIT_DEFAULT, LIMIT_MAX, LedgerQuery

__all__ = ["add_ledger"]


class EntryDocument(BaseModel):
    chain_id: str
    seq: int = Field(description="its place in the chain, from 1 without gaps")
    at: str | None
    kind: str = Field(
        description="directive, finding, approval_requested, erasure, checkpoint, or the kind of "
        "a decision"
    )
    outcome: str | None
    run_id: str | None
    trace_id: str | None
    span_id: str | None
    actor: str | None
    rule: str | None
    reason: str | None = Field(description="in words, while the event is stored")
    policy_version: str | None
    rules_version: str | None
    event_id: str
    reason_digest: str | None
    content_digest: str
    previous_hash: str
    hash: str


class ProblemDocument(BaseModel):
    seq: int
    event_id: str | None
    problem: str


class ChainDocument(BaseModel):
    chain_id: str
    entries: int
    first_seq: int
    last_seq: int
    removed_upto: int = Field(description="the last entry that retention removed")
    head: str = Field(description="hash of the newest entry")
    ok: bool
    problems_found: int
    problems: list[ProblemDocument]


class VerifiedDocument(BaseModel):
    ok: bool
    entries: int
    chains: list[ChainDocument]


def add_ledger(
    app: FastAPI, operations: Operations, now_ns: Callable[[], int], errors: Answers
) -> None:
    """`errors` are the answers that every route has."""

    @app.get(
        "/v1/ledger", responses={200: {"model": list[EntryDocument]}, **errors}, tags=["ledger"]
    )
    def list_entries(
        caller: Reader,
        run: Annotated[str, Query(description="of this run", max_length=TEXT_MAX)] = "",
        since: Annotated[str, Query(description="RFC 3339, or an age such as 7d")] = "",
        until: Annotated[str, Query(description="RFC 3339, or an age")] = "",
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    ) -> Response:
        """Entries, oldest first; the newest `limit` of them."""
        workspace = tenant(caller)
        if workspace:
            _visible(operations, run, workspace)
        query = LedgerQuery(
            run_id=run,
            since_ns=_time("since", since, now_ns()),
            until_ns=_time("until", until, now_ns()),
            limit=limit,
        )
        return Response(
            orjson.dumps(operations.ledger.entries(query)), media_type="application/json"
        )

    @app.get(
        "/v1/ledger/verify", responses={200: {"model": VerifiedDocument}, **errors}, tags=["ledger"]
    )
    def verify_ledger(caller: Reader) -> Response:
        """Read every chain: was an entry changed, removed or inserted?"""
        if tenant(caller):
            raise ForbiddenError("a chain holds entries of all workspaces: use a key of none")
        return Response(orjson.dumps(operations.ledger.verify()), media_type="application/json")


def _visible(operations: Operations, run_id: str, workspace: str) -> None:
    """Entries have no workspace of their own: who is bound to one asks by its runs."""
    if not run_id:
        raise ForbiddenError(f"this API key is bound to workspace `{workspace}`: name a run of it")
    shown = operations.run(run_id, workspace)
    if shown is None or shown["run"].get("workspace") != workspace:
        raise NotFoundError(f"no run {run_id!r}", "`agentrun runs list` shows those there are.")


def _time(name: str, text: str, now_ns: int) -> int | None:
    if not text:
        return None
    try:
        return parse_time(text, now_ns)
    except ValueError as error:
        raise RequestError(f"{name}: {error}", "See docs/ledger.md.") from None
