"""ASGI middleware (FastAPI, Starlette, Django, Quart, ...): requests in the run of their caller.

    app.add_middleware(AgentRunMiddleware)                  # the context; run() inside picks it up
    app.add_middleware(AgentRunMiddleware, run="support")   # and each request is a run

A run lasts until the response, streamed or not, and its background tasks are through.  Websockets
and lifespan events pass untouched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from otel_agentrun.carriers import extract
from otel_agentrun.integrations.boundary import Choice, Served

__all__ = ["AgentRunMiddleware"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class AgentRunMiddleware:
    def __init__(self, app: App, run: Choice = "", *, public: bool = False) -> None:
        """`run`: see `Choice`; `public`: see `extract`, for services that anybody can reach."""
        self._app = app
        self._run = run
        self._public = public

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = extract(scope["headers"], public=self._public)
        served = Served(self._run, scope, context, execution="sync")

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                served.answered(message["status"])
            await send(message)

        with served.turn():
            await self._app(scope, receive, sending)
        served.end()
