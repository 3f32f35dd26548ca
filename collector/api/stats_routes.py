"""`/v1/stats`: every figure of the dashboards, from the query files they show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from collector.api import documents
from collector.api.security import tenant
from collector.api.service import Operations
from collector.dashboards.stats import catalog, parse_stat
from collector.receiver.auth import Principal

PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": text,
        "schema": {"type": "string"},
    }
    for name, text in (
        ("by", "what to group by: one of the figure's `dimensions`"),
        ("since", "started at or after: RFC 3339, or 15m, 2h, 7d ago; a day ago where missing"),
        ("until", "started before; now where missing"),
    )
]


class StatColumn(BaseModel):
    name: str
    label: str
    unit: str = Field(description="as Grafana spells it; `text` and `time` besides")


class Described(BaseModel):
    """A figure that can be asked for."""

    name: str
    title: str
    description: str
    answers: list[str] = Field(description="ids of requirements")
    dimensions: list[str]
    filters: list[str] = Field(description="further query parameters that it takes")
    columns: list[StatColumn]


class Stat(Described):
    """A figure with its rows; a share of nothing is null."""

    by: str | None
    since: str
    until: str
    interval_secs: int | None = Field(description="width of a point in a time series")
    rows: list[dict[str, Any]]


def add_stats(
    app: FastAPI,
    operations: Operations,
    now_ns: Callable[[], int],
    reader: Any,
    errors: dict[int | str, dict[str, Any]],
) -> None:
    """`reader` is the dependency that asks for the role `read`."""

    def json(content: object) -> Response:
        return Response(orjson.dumps(content), media_type="application/json")

    def list_stats(caller: Principal = reader) -> Response:
        """The figures there are, with their dimensions and filters."""
        return json(catalog())

    def show_stat(name: str, request: Request, caller: Principal = reader) -> Response:
        """One figure.  Beside `by`, `since` and `until` it takes the filters that it lists."""
        stat = parse_stat(name, request.query_params.multi_items(), now_ns=now_ns())
        return json(operations.stats(stat.within(tenant(caller))))

    app.get(
        "/v1/stats",
        responses={200: {"model": list[Described]}, **errors},
        tags=["stats"],
    )(list_stats)
    app.get(
        "/v1/stats/{name}",
        responses={200: {"model": Stat}, 404: {"model": documents.Error}, **errors},
        openapi_extra={"parameters": PARAMETERS},
        tags=["stats"],
    )(show_stat)
