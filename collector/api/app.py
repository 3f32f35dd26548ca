"""The HTTP API: `create_app` wires routes to `Operations`; it decides nothing about runs itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from collector.api import documents
from collector.api.approval_routes import add_approvals
from collector.api.control_routes import add_control
from collector.api.errors import answer_errors
from collector.api.health import Health, Status
from collector.api.ledger_routes import add_ledger
from collector.api.metrics import CONTENT_TYPE, Metrics
from collector.api.security import Gate, require_any, tenant
from collector.api.service import (
    Feedback,
    Operations,
    RunQuery,
    Selector,
    parse_query,
    parse_selector,
)
from collector.api.stats_routes import add_stats
from collector.api.updates import Updates
from collector.api.values import Document, NotFoundError
from collector.errors import OverloadedError
from collector.receiver.auth import Keyring, Principal, Role

PING_SECS: Final = 15.0
"""A comment line after this much silence keeps proxies from closing `/v1/events`."""
RULES_LIMIT: Final = ("limit", "10000")
"""Runs that rules are tried on where a request does not say."""
ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": documents.Error, "description": text}
    for status, text in {
        400: "the request can never succeed as it is",
        401: "no key, or an unknown one",
        403: "the key lacks the role",
        503: "the store does not answer",
    }.items()
}


def json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _needs(*roles: Role) -> Callable[[Request], Principal]:
    def check(request: Request) -> Principal:
        principal: Principal | None = request.state.principal
        assert principal is not None, "only probes come through the gate without one"
        require_any(principal, *roles)
        return principal

    return check


Reader = Annotated[Principal, Depends(_needs(Role.READ))]
Judge = Annotated[Principal, Depends(_needs(Role.INGEST, Role.CONTROL))]
Admin = Annotated[Principal, Depends(_needs(Role.ADMIN))]


def create_app(
    operations: Operations,
    *,
    health: Health,
    metrics: Metrics,
    updates: Updates,
    version: str = "",
    keyring: Keyring | None = None,
    peers_verified: bool = False,
    allowed_hosts: Collection[str] = (),
    allowed_origins: Collection[str] = (),
    now_ns: Callable[[], int] = time.time_ns,
) -> FastAPI:
    """The ASGI application.  Blocking operations run in worker threads, never on the event loop."""
    app = FastAPI(
        title="otel-agentrun",
        description="Agent runs made of OpenTelemetry spans.",
        version=version or "0",
        docs_url=None,  # the pages load scripts from elsewhere; /openapi.json is enough
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(
        Gate,
        keyring=Keyring() if keyring is None else keyring,
        peers_verified=peers_verified,
        allowed_hosts=allowed_hosts,
        allowed_origins=allowed_origins,
    )
    answer_errors(app)
    _add_runs(app, operations, now_ns)
    _add_feedback(app, operations)
    _add_rules(app, operations, now_ns)
    add_stats(app, operations, now_ns, Depends(_needs(Role.READ)), ERRORS)
    add_control(app, operations, ERRORS)
    add_approvals(app, operations, ERRORS)
    add_ledger(app, operations, now_ns, ERRORS)
    _add_events(app, updates)
    _add_operations(app, operations, health, metrics)
    return app


def _add_runs(app: FastAPI, operations: Operations, now_ns: Callable[[], int]) -> None:
    @app.get(
        "/v1/runs",
        responses={200: {"model": list[documents.Run]}, **ERRORS},  # type: ignore[valid-type]  # made by create_model
        openapi_extra={"parameters": documents.LIST_PARAMETERS},
        tags=["runs"],
    )
    def list_runs(request: Request, caller: Reader) -> Response:
        """Runs, newest first."""
        query = parse_query(request.query_params.multi_items(), now_ns=now_ns())
        if workspace := tenant(caller):
            query = query.within(workspace)
        return json(operations.runs(query))

    @app.get(
        "/v1/runs/{run_id:path}/explain",
        responses={200: {"model": documents.Explained}, 404: {"model": documents.Error}, **ERRORS},
        tags=["runs"],
    )
    def explain_run(run_id: str, caller: Reader) -> Response:
        """How each span of the run was read, what was counted, and why."""
        visible(operations, run_id, caller)
        document = operations.explain(run_id, tenant(caller))
        if document is None:
            raise NotFoundError(f"no run {run_id!r}", "`agentrun runs list` shows those there are.")
        return json(document)

    @app.get(
        "/v1/runs/{run_id:path}",
        responses={200: {"model": documents.ShownRun}, 404: {"model": documents.Error}, **ERRORS},
        tags=["runs"],
    )
    def show_run(run_id: str, caller: Reader) -> Response:
        """A run with its steps and events.  An id that was replaced gives its successor."""
        return json(visible(operations, run_id, caller))

    @app.delete(
        "/v1/runs/{run_id:path}",
        responses={200: {"model": documents.Erased}, 404: {"model": documents.Error}, **ERRORS},
        tags=["runs"],
    )
    def delete_run(run_id: str, caller: Admin) -> Response:
        """Erase the run's whole trace group: spans, steps, logs, content, journal records."""
        visible(operations, run_id, caller)
        return json(operations.delete(Selector(run_ids=(run_id,)), actor=caller.name))

    @app.delete(
        "/v1/runs",
        responses={200: {"model": documents.Erased}, **ERRORS},
        openapi_extra={"parameters": documents.ERASE_PARAMETERS},
        tags=["runs"],
    )
    def delete_runs(request: Request, caller: Admin) -> Response:
        """Erase every trace group with a run of this user, session or period."""
        selector = parse_selector(request.query_params.multi_items(), now_ns=now_ns())
        return json(operations.delete(selector, actor=caller.name))


def visible(operations: Operations, run_id: str, caller: Principal) -> Document:
    """The run's document.  Raises NotFoundError also when it belongs to another workspace."""
    workspace = tenant(caller)
    shown = operations.run(run_id, workspace)
    if shown is None or (workspace and shown["run"].get("workspace") != workspace):
        raise NotFoundError(f"no run {run_id!r}", "`agentrun runs list` shows those there are.")
    return shown


def _add_feedback(app: FastAPI, operations: Operations) -> None:
    @app.post(
        "/v1/feedback",
        status_code=201,
        responses={
            201: {"model": documents.RunEvent},
            404: {"model": documents.Error},
            **ERRORS,
        },
        tags=["feedback"],
    )
    def give_feedback(body: documents.FeedbackBody, caller: Judge) -> Response:
        """Record a judgment of a run, however long ago it ended; the run gets a new revision."""
        feedback = Feedback(
            run_id=body.run_id,
            name=body.name,
            score=body.score,
            label=body.label or "",
            comment=body.comment or "",
        )
        if tenant(caller):
            visible(operations, body.run_id, caller)
        return json(operations.feedback(feedback, actor=caller.name), 201)


def _add_rules(app: FastAPI, operations: Operations, now_ns: Callable[[], int]) -> None:
    def selected(pairs: list[tuple[str, str]], caller: Principal) -> RunQuery:
        given = pairs if any(name == "limit" for name, _ in pairs) else [*pairs, RULES_LIMIT]
        query = parse_query(given, now_ns=now_ns())
        workspace = tenant(caller)
        return query.within(workspace) if workspace else query

    @app.get(
        "/v1/rules",
        responses={200: {"model": documents.RulesInForce}, **ERRORS},
        tags=["rules"],
    )
    def show_rules(caller: Reader) -> Response:
        """The rules in force."""
        return json(operations.rules())

    @app.post(
        "/v1/rules/backtest",
        responses={200: {"model": documents.Backtest}, **ERRORS},
        openapi_extra={"parameters": documents.LIST_PARAMETERS},
        tags=["rules"],
    )
    def backtest_rules(request: Request, body: documents.RulesBody, caller: Reader) -> Response:
        """What rules would have done to stored runs: nothing is changed."""
        query = selected(request.query_params.multi_items(), caller)
        return json(operations.backtest(body.rules, query))

    @app.get(
        "/v1/rules/suggest",
        responses={200: {"model": documents.Suggested}, **ERRORS},
        openapi_extra={"parameters": documents.LIST_PARAMETERS},
        tags=["rules"],
    )
    def suggest_rules(
        request: Request,
        caller: Reader,
        percentile: Annotated[float, Query(ge=50, le=100)] = 99.0,
        margin: Annotated[float, Query(ge=1, le=100)] = 1.5,
    ) -> Response:
        """Budgets from the history of stored runs, by agent and task type."""
        own = ("percentile", "margin")
        pairs = [pair for pair in request.query_params.multi_items() if pair[0] not in own]
        return json(operations.suggest(selected(pairs, caller), percentile, margin))


def _add_events(app: FastAPI, updates: Updates) -> None:
    @app.get(
        "/v1/events",
        responses={
            200: {
                "description": "server-sent events: `run` with a run document whenever one "
                "changes, `missed` with a number when this reader was too slow",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            429: {"model": documents.Error},
            **ERRORS,
        },
        response_class=StreamingResponse,
        tags=["runs"],
    )
    async def follow_runs(caller: Reader) -> StreamingResponse:
        """Runs as they change, from now on."""
        stream = _stream(updates, caller)
        first = await anext(stream)  # raises here, while an error can still be answered

        async def body() -> AsyncIterator[bytes]:
            yield first
            async for chunk in stream:
                yield chunk

        return StreamingResponse(
            body(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )


async def _stream(updates: Updates, caller: Principal) -> AsyncIterator[bytes]:
    workspace = tenant(caller)
    with updates.follow() as follower:
        if follower is None:
            raise OverloadedError("too many readers follow runs", "followers", 10.0)
        yield b": following\n\n"
        while (heard := await follower.next(PING_SECS)) is not None:
            runs, missed = heard
            chunks = [_event("missed", {"missed": missed})] if missed else []
            chunks += [
                _event("run", run)
                for run in runs
                if not workspace or run.get("workspace") == workspace
            ]
            yield b"".join(chunks) or b": still here\n\n"


def _event(name: str, content: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(content) + b"\n\n"


def _add_operations(app: FastAPI, operations: Operations, health: Health, metrics: Metrics) -> None:
    @app.get("/healthz", responses={200: {"model": documents.Alive}}, tags=["operations"])
    async def healthz() -> Response:
        """The process is alive; says nothing about the store."""
        return json({"status": "ok"})

    @app.get(
        "/readyz",
        responses={200: {"model": documents.Ready}, 503: {"model": documents.Ready}},
        tags=["operations"],
    )
    async def readyz(request: Request) -> Response:
        """Journal writable, store written and read back; what is wrong and what to do."""
        findings = await run_in_threadpool(health.findings)
        ready = all(finding.status is not Status.FAIL for finding in findings)
        principal: Principal | None = request.state.principal
        details = principal is not None and principal.allows(Role.READ)
        checks = [finding.document() for finding in findings] if details else None
        return json({"ready": ready, "checks": checks}, 200 if ready else 503)

    @app.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        response_class=Response,
        tags=["operations"],
    )
    async def prometheus(caller: Reader) -> Response:
        """Prometheus text: received, stored, refused, pending and more, by signal and reason."""
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    @app.get(
        "/v1/doctor",
        responses={200: {"model": list[documents.FindingDocument]}, **ERRORS},
        tags=["operations"],
    )
    def doctor(caller: Admin) -> Response:
        """What a running collector can say about itself, for `agentrun doctor`."""
        return json(operations.doctor())
