"""A LangGraph agent, instrumented by OpenInference, inside a run; its tool asks a service."""

from __future__ import annotations

import sys

import httpx
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from openinference.instrumentation.langchain import LangChainInstrumentor

import otel_agentrun as agentrun


def main(model_url: str, research_url: str) -> None:
    installed = agentrun.install(service_name="lead")
    LangChainInstrumentor().instrument(tracer_provider=installed.tracer_provider)

    @tool
    def research(question: str) -> str:
        """Ask the research agent."""
        return httpx.get(research_url, headers=agentrun.inject(), timeout=30).text

    llm = ChatOpenAI(model="gpt-4o-mini", base_url=model_url, api_key="none")  # type: ignore
    agent = create_react_agent(llm, [research])
    with agentrun.run("lead", input="tea?", session="s-1") as run:
        result = agent.invoke({"messages": [("user", "tea?")]})
        run.respond(result["messages"][-1].content)
    sys.stdout.write(run.run_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
