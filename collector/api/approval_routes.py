"""Routes of approvals: what people are asked, and their answers."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from collector.api.control_routes import Answers, Controller, Reader
from collector.api.documents import Error
from collector.api.orders import REASON_MAX
from collector.api.security import tenant
from collector.api.service import Operations
from collector.api.values import TEXT_MAX

__all__ = ["add_approvals"]


class AnswerBody(BaseModel):
    """Which approval, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    approval: str | None = Field(
        None,
        max_length=TEXT_MAX,
        description="its id; may be left out where the run waits for one answer only",
    )
    reason: str | None = Field(
        None, max_length=REASON_MAX, description="in words; the application is told"
    )


class ApprovalDocument(BaseModel):
    approval_id: str
    run_id: str
    workspace: str | None
    state: str = Field(description="pending, approved, refused or expired")
    question: str | None
    tool: str | None
    tool_call_id: str | None
    rule: str | None
    reason: str | None = Field(description="why it is asked")
    requested_at: str | None
    requested_by: str | None
    expires_at: str | None
    answered_at: str | None
    answered_by: str | None
    comment: str | None = Field(description="why it was answered so")
    directive_id: str | None = Field(description="what carries the answer to the application")


def add_approvals(app: FastAPI, operations: Operations, errors: Answers) -> None:
    """`errors` are the answers that every route has."""

    @app.get(
        "/v1/approvals",
        responses={200: {"model": list[ApprovalDocument]}, **errors},
        tags=["control"],
    )
    def list_approvals(
        caller: Reader,
        state: Annotated[str, Query(description="pending, approved, refused or expired")] = "",
        run: Annotated[str, Query(description="of this run", max_length=TEXT_MAX)] = "",
    ) -> Response:
        """Approvals of the time that is remembered, newest first."""
        found = operations.approvals.list(state=state, run_id=run, workspace=tenant(caller))
        return Response(orjson.dumps(found), media_type="application/json")

    answers: dict[int | str, dict[str, Any]] = {
        200: {"model": ApprovalDocument},
        404: {"model": Error},
        409: {"model": Error, "description": "it is answered, or too late, or not clear which"},
        **errors,
    }
    _add_answer(app, operations, "approve", answers)
    _add_answer(app, operations, "refuse", answers)


def _add_answer(app: FastAPI, operations: Operations, verb: str, answers: Answers) -> None:
    def answer(run_id: str, body: AnswerBody, caller: Controller) -> Response:
        approval = operations.approvals.answer(
            run_id,
            approve=verb == "approve",
            approval_id=body.approval or "",
            comment=body.reason or "",
            actor=caller.name,
            workspace=tenant(caller),
        )
        return Response(orjson.dumps(approval), media_type="application/json")

    answer.__doc__ = (
        f"{verb.capitalize()} what a run waits for.  The first answer counts; it is recorded "
        "before the application is told."
    )
    app.post(
        f"/v1/runs/{{run_id:path}}/{verb}", name=f"{verb}_run", responses=answers, tags=["control"]
    )(answer)
