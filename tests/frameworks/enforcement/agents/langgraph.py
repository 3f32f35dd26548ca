"""LangGraph's ReAct agent, instrumented by OpenInference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from openinference.instrumentation.langchain import LangChainInstrumentor

MODES = {"sync": False, "stream": False, "async": True, "astream": True}
CONFIG: Any = {"recursion_limit": 1000}


def instrument(provider: Any) -> None:
    LangChainInstrumentor().instrument(tracer_provider=provider)


def build(mode: str, model_url: str, tools: list[Callable[..., Any]]) -> Callable[[str], Any]:
    llm = ChatOpenAI(
        model="gpt-4o-mini", base_url=model_url, api_key="none", max_retries=0,
        streaming="stream" in mode, stream_usage=True,
    )  # type: ignore[call-arg]  # fmt: skip
    graph = create_react_agent(llm, [tool(each) for each in tools])

    def asked(question: str) -> Any:
        return {"messages": [("user", question)]}

    def sync(question: str) -> Any:
        return graph.invoke(asked(question), CONFIG)["messages"][-1].content

    def stream(question: str) -> Any:
        *_, last = graph.stream(asked(question), CONFIG, stream_mode="values")
        return last["messages"][-1].content

    async def in_loop(question: str) -> Any:
        return (await graph.ainvoke(asked(question), CONFIG))["messages"][-1].content

    async def astream(question: str) -> Any:
        states = [
            state async for state in graph.astream(asked(question), CONFIG, stream_mode="values")
        ]
        return states[-1]["messages"][-1].content

    return {"sync": sync, "stream": stream, "async": in_loop, "astream": astream}[mode]
