"""A service beside the agent: a tool that has steps of its own, and a sub-agent."""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import otel_agentrun as agentrun
from otel_agentrun.integrations.asgi import AgentRunMiddleware


async def stock(request: Request) -> PlainTextResponse:
    with agentrun.tool("stock"):
        return PlainTextResponse("7 left")


async def research(request: Request) -> PlainTextResponse:
    with agentrun.run("research", input="tea?") as run:
        with agentrun.model("gpt-4o-mini", provider="openai") as step:
            step.usage(input_tokens=1000, output_tokens=100)
        run.respond("tea")
    return PlainTextResponse(run.run_id)


if __name__ == "__main__":
    agentrun.install(service_name="helper")
    app = Starlette(routes=[Route("/stock", stock), Route("/research", research)])
    app.add_middleware(AgentRunMiddleware)
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
