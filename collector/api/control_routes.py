"""Routes that act on running agents: stop, pause, resume, directives, authorize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import Response

from collector.api import control_documents as bodies
from collector.api.documents import Error
from collector.api.orders import Authorize, Order, OrderAction
from collector.api.security import require_any, tenant
from collector.api.service import Operations
from collector.api.values import Document, NotFoundError
from collector.receiver.auth import Principal, Role

__all__ = ["add_control"]

VERBS: dict[str, OrderAction] = {"stop": "kill", "pause": "pause", "resume": "resume"}


def _needs(*roles: Role) -> Callable[[Request], Principal]:
    def check(request: Request) -> Principal:
        principal: Principal | None = request.state.principal
        assert principal is not None, "only probes come through the gate without one"
        require_any(principal, *roles)
        return principal

    return check


Controller = Annotated[Principal, Depends(_needs(Role.CONTROL))]
Reader = Annotated[Principal, Depends(_needs(Role.READ))]
Asker = Annotated[Principal, Depends(_needs(Role.INGEST, Role.CONTROL))]
Answers = dict[int | str, dict[str, Any]]


def add_control(app: FastAPI, operations: Operations, errors: Answers) -> None:
    """`errors` are the answers that every route has."""
    accepted: Answers = {
        202: {"model": bodies.DirectiveDocument, "description": "recorded, and on its way"},
        404: {"model": Error},
        409: {"model": Error, "description": "the run has ended"},
        **errors,
    }
    for verb, action in VERBS.items():
        _add_verb(app, operations, verb, action, accepted)
    _add_directives(app, operations, errors)
    _add_authorize(app, operations, errors)


def _add_verb(
    app: FastAPI, operations: Operations, verb: str, action: OrderAction, accepted: Answers
) -> None:
    def direct(order: Order, caller: Principal) -> Response:
        directive = operations.control.direct(order, actor=caller.name, workspace=tenant(caller))
        return _json(directive, 202)

    def one(run_id: str, body: bodies.OrderBody, caller: Controller) -> Response:
        return direct(Order(action=action, run_id=run_id, **_said(body)), caller)

    def many(body: bodies.WideOrderBody, caller: Controller) -> Response:
        order = Order(
            action=action,
            agent=body.agent or "",
            workspace=body.workspace or "",
            everything=body.all,
            **_said(body),
        )
        return direct(order, caller)

    one.__doc__ = (
        f"{verb.capitalize()} a run.  The directive is recorded before it is sent; its status is "
        "`requested` until the application answers."
    )
    many.__doc__ = f"{verb.capitalize()} every run that has started by now, of one scope."
    app.post(
        f"/v1/runs/{{run_id:path}}/{verb}",
        name=f"{verb}_run",
        status_code=202,
        responses=accepted,
        tags=["control"],
    )(one)
    app.post(
        f"/v1/{verb}", name=f"{verb}_runs", status_code=202, responses=accepted, tags=["control"]
    )(many)


def _add_directives(app: FastAPI, operations: Operations, errors: Answers) -> None:
    @app.get(
        "/v1/directives",
        responses={200: {"model": list[bodies.DirectiveDocument]}, **errors},
        tags=["control"],
    )
    def list_directives(
        caller: Reader,
        is_open: Annotated[bool, Query(alias="open", description="only undelivered ones")] = False,
    ) -> Response:
        """Directives of the time that is remembered, newest first."""
        return _json(operations.control.directives(open_only=is_open, workspace=tenant(caller)))

    @app.get(
        "/v1/directives/{directive_id}",
        responses={200: {"model": bodies.DirectiveDocument}, 404: {"model": Error}, **errors},
        tags=["control"],
    )
    def show_directive(directive_id: str, caller: Reader) -> Response:
        """One directive as it stands."""
        found = operations.control.directive(directive_id, tenant(caller))
        if found is None:
            raise NotFoundError(
                f"no directive {directive_id!r}", "`GET /v1/directives` lists those there are."
            )
        return _json(found)


def _add_authorize(app: FastAPI, operations: Operations, errors: Answers) -> None:
    @app.post(
        "/v1/authorize",
        responses={200: {"model": bodies.AuthorizeAnswer}, **errors},
        tags=["control"],
    )
    def authorize(body: bodies.AuthorizeBody, caller: Asker) -> Response:
        """May this call be made?  Directives, policies and budgets, answered from memory."""
        said = {name: value for name, value in body.model_dump().items() if value is not None}
        return _json(
            operations.control.authorize(
                Authorize(**said), actor=caller.name, workspace=tenant(caller)
            )
        )


def _said(body: bodies.OrderBody) -> dict[str, Any]:
    return {"reason": body.reason or "", "expires_secs": float(body.expires_secs or 0)}


def _json(content: Document | list[Document], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
