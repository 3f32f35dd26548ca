"""CrewAI under openinference-instrumentation-crewai, and its model calls under that of OpenAI's
client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from openinference.instrumentation.crewai import CrewAIInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from tests.frameworks.enforcement.scenarios import ROUNDS_MAX
from tests.frameworks.model import MODEL

MODES: Final = {"sync": False, "stream": False, "async": True}
SYNC_TOOLS: Final = True


def instrument(provider: TracerProvider) -> None:
    CrewAIInstrumentor().instrument(tracer_provider=provider)
    OpenAIInstrumentor().instrument(tracer_provider=provider)


def build(mode: str, model_url: str, tools: list[Callable[[str], Any]]) -> Callable[[str], Any]:
    def crew(question: str) -> Crew:
        agent = Agent(
            role="finder", goal="find it", backstory="You know the handbook.",
            llm=LLM(model=f"openai/{MODEL}", base_url=model_url, api_key="none",
                    stream=mode == "stream"),
            tools=[tool(each.__name__)(each) for each in tools],
            max_iter=2 * ROUNDS_MAX, cache=False,
        )  # fmt: skip
        task = Task(description=question, expected_output="the answer", agent=agent)
        return Crew(agents=[agent], tasks=[task], cache=False)

    def sync(question: str) -> str:
        return str(crew(question).kickoff())

    async def asynchronous(question: str) -> str:
        return str(await crew(question).akickoff())

    return {"sync": sync, "stream": sync, "async": asynchronous}[mode]
