"""ASGI and WSGI: a request belongs to the run of its caller, or is one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from io import BytesIO
from typing import Any
from wsgiref.util import FileWrapper

import httpx
import pytest
from opentelemetry import context as otel_context
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import otel_agentrun as agentrun
from otel_agentrun import semconv
from otel_agentrun.integrations import asgi, wsgi
from otel_agentrun.integrations.boundary import Choice
from tests.sdk.conftest import Recorded
from tests.sdk.propagation import serving


def step(name: str) -> str:
    with agentrun.tool(name):
        run = agentrun.current_run()
        return run.run_id if run is not None else "no run of this process"


def asgi_app(run: Choice = "", *, public: bool = False) -> Callable[..., Any]:
    async def plain(request: Request) -> Response:
        return PlainTextResponse(step("plain"), background=BackgroundTask(step, "background"))

    async def inner(request: Request) -> Response:
        with agentrun.run("inner"):
            return PlainTextResponse(step("inner"))

    async def stream(request: Request) -> Response:
        async def pieces() -> AsyncIterator[str]:
            for n in range(3):
                yield step(f"piece {n}")

        return StreamingResponse(pieces())

    async def bad(request: Request) -> Response:
        return PlainTextResponse("busy", 503)

    async def broken(request: Request) -> Response:
        raise KeyError("no such order")

    routes = [Route(f"/{each.__name__}", each) for each in (plain, inner, stream, bad, broken)]
    return asgi.AgentRunMiddleware(Starlette(routes=routes), run, public=public)


def wsgi_app(run: Choice = "", *, public: bool = False) -> Callable[..., Any]:
    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/")
        if name == "broken":
            raise KeyError("no such order")
        if name == "bad":
            start("503 Service Unavailable", [])
            return [b"busy"]
        start("200 OK", [("Content-Type", "text/plain")])
        if name == "inner":
            with agentrun.run("inner"):
                return [step("inner").encode()]
        if name == "stream":
            return pieces()
        try:
            return [step("plain").encode()]
        finally:
            step("background")

    def pieces() -> Iterator[bytes]:
        for n in range(3):
            yield step(f"piece {n}").encode()

    return wsgi.AgentRunMiddleware(app, run, public=public)


Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture(params=["asgi", "wsgi"])
def serve(request: pytest.FixtureRequest) -> Serve:
    if request.param == "asgi":
        return lambda *args, **kwargs: serving.asgi(asgi_app(*args, **kwargs))
    return lambda *args, **kwargs: serving.wsgi(wsgi_app(*args, **kwargs))


def until(app: Recorded, name: str) -> dict[str, Any]:
    """The span of this name; a response reaches its client before its run has ended."""
    deadline = time.monotonic() + 10
    while not any(span.name == name for span in app.spans):
        assert time.monotonic() < deadline, [span.name for span in app.spans]
        time.sleep(0.01)
    return app.said(name)


def test_steps_of_a_request_belong_to_the_caller_s_run(app: Recorded, serve: Serve) -> None:
    """One run stays one run over an HTTP hop (S1.3, S5.18)."""
    with serve() as url:
        with agentrun.run("support", session="s-1") as run:
            answer = httpx.get(f"{url}/plain", headers=agentrun.inject())
        assert answer.text == "no run of this process"
        for name in ("plain", "background"):
            said = until(app, f"agent.tool {name}")
            assert said[semconv.RUN_ID] == run.run_id
            assert said[semconv.SESSION_ID] == "s-1"


def test_a_run_in_a_request_is_a_child_of_the_caller_s(app: Recorded, serve: Serve) -> None:
    """The remote sub-agent: parent run, session, same trace (S3.33)."""
    with serve() as url:
        with agentrun.run("support", session="s-1") as run:
            httpx.get(f"{url}/inner", headers=agentrun.inject())
        said = until(app, "agent.run inner")

    assert said[semconv.RUN_PARENT_ID] == run.run_id
    assert said[semconv.SESSION_ID] == "s-1"


def test_a_request_can_be_a_run(app: Recorded, serve: Serve) -> None:
    """S5.17: the trace starts when the request enters; its headers label the run (S2.18-S2.26)."""
    headers = {"X-Request-Id": "req-1", "Alephant-Session-Id": "s-1", "Alephant-Property-A": "b"}
    with serve("desk") as url:
        run_id = httpx.get(f"{url}/plain", headers=headers).text
        said = until(app, "agent.run desk")

    assert said[semconv.RUN_ID] == run_id
    assert said[semconv.REQUEST_ID] == "req-1"
    assert said[semconv.SESSION_ID] == "s-1"
    assert said["agentrun.tag.a"] == "b"
    assert said[semconv.RUN_EXECUTION] == "sync"
    assert said[semconv.RUN_STATUS] == "completed"
    assert until(app, "agent.tool background")[semconv.RUN_ID] == run_id


def test_a_request_of_an_agent_says_that_an_agent_triggered_it(app: Recorded, serve: Serve) -> None:
    """S3.11: the trigger is known, as the caller's run came along."""
    with serve("desk") as url:
        with agentrun.run("support"):
            httpx.get(f"{url}/plain", headers=agentrun.inject())
        assert until(app, "agent.run desk")[semconv.RUN_TRIGGER] == "agent"


def test_a_choice_says_which_requests_are_runs(app: Recorded, serve: Serve) -> None:
    """Health checks are none."""

    def choice(request: Any, context: otel_context.Context) -> agentrun.Run | None:
        path = request.get("path") or request["PATH_INFO"]
        if path != "/plain":
            return None
        return agentrun.run("desk", context=context, trigger="user")

    with serve(choice) as url:
        httpx.get(f"{url}/stream")
        httpx.get(f"{url}/plain")
        assert until(app, "agent.run desk")[semconv.RUN_TRIGGER] == "user"
    assert semconv.RUN_ID not in app.said("agent.tool piece 1")


def test_a_streamed_response_is_inside_its_run(app: Recorded, serve: Serve) -> None:
    """The run lasts until the last piece is sent, and is completed."""
    with serve("desk") as url:
        pieces = httpx.get(f"{url}/stream").text
        said = until(app, "agent.run desk")

    assert pieces == said[semconv.RUN_ID] * 3
    assert said[semconv.RUN_STATUS] == "completed"
    assert said[semconv.USAGE_TOOL_CALLS] == 3


def test_an_error_fails_the_run_and_reaches_the_server(app: Recorded, serve: Serve) -> None:
    """S3.25, S5.21: what the client sees as 500 is a failed run; 503 without an exception too."""
    with serve("desk") as url:
        assert httpx.get(f"{url}/broken").status_code == 500
        broken = until(app, "agent.run desk")
    assert broken[semconv.RUN_STATUS] == "failed"
    assert broken["error.type"] == "KeyError"


def test_an_answer_of_5xx_is_a_failed_run(app: Recorded, serve: Serve) -> None:
    """Frameworks turn exceptions into answers before a middleware can see them."""
    with serve("desk") as url:
        assert httpx.get(f"{url}/bad").status_code == 503
        bad = until(app, "agent.run desk")
    assert bad[semconv.RUN_STATUS] == "failed"
    assert bad["error.type"] == "503"


def test_a_public_service_lets_nobody_into_a_run(app: Recorded, serve: Serve) -> None:
    """Labels count, trace and run id do not."""
    with serve("desk", public=True) as url:
        with agentrun.run("support", session="s-1") as run:
            httpx.get(f"{url}/plain", headers=agentrun.inject())
        said = until(app, "agent.run desk")
    assert semconv.RUN_PARENT_ID not in said
    assert said[semconv.RUN_ID] != run.run_id
    assert app.span("agent.run desk").parent is None
    assert said[semconv.SESSION_ID] == "s-1"


def test_websockets_and_lifespan_pass_untouched(app: Recorded) -> None:
    """The middleware hands on the very objects it was given."""
    seen: list[tuple[object, ...]] = []

    async def inner(*given: object) -> None:
        seen.append(given)

    async def nothing(*_: object) -> None:
        """Never called."""

    middleware = asgi.AgentRunMiddleware(inner, "desk")  # type: ignore[arg-type]
    for kind in ("websocket", "lifespan"):
        scope: dict[str, Any] = {"type": kind}
        asyncio.run(middleware(scope, nothing, nothing))  # type: ignore[arg-type]
        assert seen.pop() == (scope, nothing, nothing)
    assert not app.spans


def test_nothing_is_left_in_a_server_s_context(app: Recorded) -> None:
    """Between the pieces of a WSGI response the server's thread is free of the run."""
    before = otel_context.get_current()
    body = iter(wsgi_app("desk")({"PATH_INFO": "/stream"}, lambda *_: None))
    next(body)
    assert otel_context.get_current() == before
    body.close()  # type: ignore[attr-defined]  # as a server does when the client is gone
    body.close()  # type: ignore[attr-defined]

    assert otel_context.get_current() == before
    assert app.said("agent.run desk")[semconv.RUN_STATUS] == "completed"


def test_a_file_is_left_to_the_server(app: Recorded) -> None:
    """PEP 3333: a server may send a wrapped file by itself, if it gets the wrapper back."""
    file = FileWrapper(BytesIO(b"x"))
    middleware = wsgi.AgentRunMiddleware(lambda environ, start: file, "desk")

    assert middleware({"wsgi.file_wrapper": FileWrapper}, lambda *_: None) is file
    assert app.said("agent.run desk")[semconv.RUN_STATUS] == "completed"


def test_a_cancelled_request_is_a_cancelled_run(app: Recorded) -> None:
    """S5.21: the client gone, the server cancels; the cancellation is not swallowed."""

    async def slow(*_: object) -> None:
        await asyncio.sleep(30)

    async def cancelled() -> None:
        middleware = asgi.AgentRunMiddleware(slow, "desk")  # type: ignore[arg-type]
        scope: dict[str, Any] = {"type": "http", "headers": []}
        task = asyncio.create_task(middleware(scope, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())

    assert app.said("agent.run desk")[semconv.STOP_REASON] == "cancelled"
