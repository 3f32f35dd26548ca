"""A service whose requests a pydantic-ai agent answers, with its own instrumentation."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from typing import Any

import uvicorn
from opentelemetry.context import Context
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import otel_agentrun as agentrun
from otel_agentrun.integrations.asgi import AgentRunMiddleware


def main(model_url: str) -> None:
    agentrun.install(service_name="research")
    Agent.instrument_all()
    provider = OpenAIProvider(base_url=model_url, api_key="none")
    agent = Agent(OpenAIChatModel("gpt-4o-mini", provider=provider), name="research")

    @agent.tool_plain
    def search_docs(query: str) -> str:
        """Search the handbook."""
        return "Tea is on page 7."

    async def research(request: Request) -> PlainTextResponse:
        with agentrun.run("research", input="tea?") as run:
            result = await agent.run("tea?")
            run.respond(result.output)
        return PlainTextResponse(result.output)

    async def bare(request: Request) -> PlainTextResponse:
        return PlainTextResponse((await agent.run("tea?")).output)

    def run_of(request: Mapping[str, Any], context: Context) -> agentrun.Run | None:
        return agentrun.run("research", context=context) if request["path"] == "/bare" else None

    app = Starlette(routes=[Route("/research", research), Route("/bare", bare)])
    app.add_middleware(AgentRunMiddleware, run=run_of)
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
