"""A graph of Strands with one node: it drops whatever is no `Exception` of a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from strands.multiagent import GraphBuilder
from strands.multiagent.graph import GraphResult

from tests.frameworks.enforcement.agents.strands import agent, instrument

__all__ = ["MODES", "build", "instrument"]

MODES: Final = {"sync": False, "async": True}
NODE: Final = "only"


def build(mode: str, model_url: str, tools: list[Callable[[str], Any]]) -> Callable[[str], Any]:
    def graph() -> Any:
        builder = GraphBuilder()
        builder.add_node(agent(model_url, tools), NODE)
        return builder.build()

    def answer(result: GraphResult) -> str:
        """ "" without a result of the node."""
        found = result.results.get(NODE)
        return str(found.result).strip() if found is not None else ""

    def sync(question: str) -> str:
        return answer(graph()(question))

    async def asynchronous(question: str) -> str:
        return answer(await graph().invoke_async(question))

    return {"sync": sync, "async": asynchronous}[mode]
