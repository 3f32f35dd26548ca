"""Servers and workers survive runs that were stopped inside of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import otel_agentrun as agentrun
from otel_agentrun import runtime
from otel_agentrun.integrations import asgi, wsgi
from tests.enforcement.conftest import KILL, App


def stopped_step() -> str:
    run = agentrun.current_run()
    run_id = run.run_id if run is not None else runtime.active().verdicts.open_runs()[0].run_id
    runtime.active().verdicts.give(KILL, run_id=run_id)
    with agentrun.tool("refused"):
        return "not refused"


async def stops(request: Request) -> Response:
    return PlainTextResponse(stopped_step())


async def stream(request: Request) -> Response:
    async def pieces() -> Any:
        yield "one"
        yield stopped_step()

    return StreamingResponse(pieces())


async def inner(request: Request) -> Response:
    try:
        with agentrun.run("inner"):
            stopped_step()
    except agentrun.RunStoppedError as stopped:
        return PlainTextResponse(stopped.stop_reason, 403)
    return PlainTextResponse("not stopped")


async def fine(request: Request) -> Response:
    with agentrun.tool("fine"):
        return PlainTextResponse("fine")


def test_an_asgi_server_gets_an_ordinary_exception_and_serves_the_next_request(app: App) -> None:
    routes = [Route(f"/{each.__name__}", each) for each in (stops, stream, inner, fine)]
    served = asgi.AgentRunMiddleware(Starlette(routes=routes), "support")

    async def main() -> None:
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            with pytest.raises(agentrun.RunStoppedError):  # a server answers 500
                await client.get("/stops")
            with pytest.raises(agentrun.RunStoppedError):
                await client.get("/stream")
            assert (await client.get("/inner")).status_code == 403
            assert (await client.get("/fine")).text == "fine"

    asyncio.run(main())
    said = [span.attributes["agentrun.run.status"] for span in app.spans
            if span.name == "agent.run support" and span.attributes]  # fmt: skip
    assert said == ["killed", "killed", "completed", "completed"]


def test_the_frameworks_own_error_page_answers_where_it_is_outside(app: App) -> None:
    served = Starlette(routes=[Route("/stops", stops), Route("/fine", fine)])
    served.add_middleware(asgi.AgentRunMiddleware, run="support")

    async def main() -> None:
        transport = httpx.ASGITransport(served, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.get("/stops")).status_code == 500
            assert (await client.get("/fine")).status_code == 200

    asyncio.run(main())


def test_a_wsgi_server_gets_an_ordinary_exception_and_serves_the_next_request(app: App) -> None:
    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [])
        if environ["PATH_INFO"] == "/stream":
            return pieces()
        return [stopped_step().encode() if environ["PATH_INFO"] == "/stops" else b"fine"]

    def pieces() -> Iterator[bytes]:
        yield b"one"
        yield stopped_step().encode()

    served = wsgi.AgentRunMiddleware(serve, "support")

    def get(path: str) -> bytes:
        body = served({"PATH_INFO": path}, lambda *_: None)
        try:
            return b"".join(body)
        finally:
            body.close()  # type: ignore[attr-defined]  # servers call it where it is there

    for path in ("/stops", "/stream"):
        with pytest.raises(agentrun.RunStoppedError):
            get(path)
    assert get("/fine") == b"fine"


def test_a_stop_of_the_callers_run_does_not_reach_the_server_either(app: App) -> None:
    """The request is no run of its own: it belongs to one of another process."""

    async def remote(request: Request) -> Response:
        return PlainTextResponse(stopped_step())

    with agentrun.run("caller"):
        headers = agentrun.inject()
    served = asgi.AgentRunMiddleware(Starlette(routes=[Route("/x", remote)]))

    async def main() -> None:
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            with agentrun.attached(agentrun.extract(headers)), agentrun.tool("first"):
                pass
            with pytest.raises(agentrun.RunStoppedError):
                await client.get("/x", headers=headers)

    asyncio.run(main())
