"""The frameworks that are played, and where what happens differs from the rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.frameworks.enforcement.scenarios import SCENARIOS

__all__ = ["FRAMEWORKS", "Framework", "by_name", "plays"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One module of `agents`."""

    name: str
    title: str
    instrumentation: str
    packages: tuple[str, ...]
    """Whose versions the page tells; of the requirements of its environment."""
    environment: str = ""
    """See `tests.frameworks.environment`."""
    stage: int = 1
    """2: played by `tests.frameworks.enforcement.stage` only, as far as time allows."""
    modes: tuple[str, ...] = ("sync", "stream", "async", "astream")
    leaves_out: Mapping[str, str] = field(default_factory=dict)
    """`scenario/mode`, `scenario` or `mode` -> why it cannot be."""
    falls_back: Mapping[str, str] = field(default_factory=dict)
    """Modes in which a rule's approval cannot wait -> why: the rule's `pause_fallback` acts."""
    returns: Mapping[str, str] = field(default_factory=dict)
    """`scenario/mode` or mode -> why nothing is raised although the run was stopped."""
    models_more: int = 0
    """Model calls beside those of the script: of the leader of a team."""


IN_LOOP: Final = "the framework begins tool calls in an event loop, which waiting would block"

FRAMEWORKS: Final = (
    Framework(
        name="langgraph",
        title="LangGraph",
        instrumentation="openinference-instrumentation-langchain",
        packages=("langgraph", "langchain-openai", "openinference-instrumentation-langchain"),
    ),
    Framework(
        name="pydanticai",
        stage=2,
        title="pydantic-ai",
        instrumentation="its own",
        packages=("pydantic-ai-slim",),
        falls_back=dict.fromkeys(("sync", "stream", "async", "astream"), IN_LOOP),
    ),
    Framework(
        name="openaiagents",
        stage=2,
        title="OpenAI Agents",
        instrumentation="openinference-instrumentation-openai-agents",
        packages=("openai-agents", "openinference-instrumentation-openai-agents"),
        modes=("sync", "async", "astream"),
        falls_back=dict.fromkeys(("sync", "async", "astream"), IN_LOOP),
    ),
    Framework(
        name="openaiclient",
        title="OpenAI client, no framework",
        instrumentation="opentelemetry-instrumentation-openai-v2",
        packages=("openai", "opentelemetry-instrumentation-openai-v2"),
        leaves_out={"bare": "every model call is a trace of its own: nothing makes them one run"},
    ),
    Framework(
        name="strands",
        stage=2,
        title="Strands",
        instrumentation="its own",
        packages=("strands-agents",),
        environment="strands",
        modes=("sync", "async", "astream"),
        falls_back=dict.fromkeys(("sync", "async", "astream"), IN_LOOP),
    ),
    Framework(
        name="strandsgraph",
        stage=2,
        title="Strands Graph",
        instrumentation="its own",
        packages=("strands-agents",),
        environment="strands",
        modes=("sync", "async"),
        leaves_out={"bare": "nothing tells the application that there was a stop"},
        falls_back=dict.fromkeys(("sync", "async"), IN_LOOP),
        returns=dict.fromkeys(
            ("sync", "async"),
            "the graph drops what is no `Exception` of a node and returns without its result; the "
            "collector has the run as killed, and `run.status` says so",
        ),
    ),
    Framework(
        name="agno",
        stage=2,
        title="agno",
        instrumentation="openinference-instrumentation-agno",
        packages=("agno", "openinference-instrumentation-agno"),
        environment="strands",
        falls_back=dict.fromkeys(("async", "astream"), IN_LOOP),
    ),
    Framework(
        name="agnoteam",
        stage=2,
        title="agno team",
        instrumentation="openinference-instrumentation-agno",
        packages=("agno", "openinference-instrumentation-agno"),
        environment="strands",
        leaves_out={
            "bare/astream": "the team waits for a task that the stop has ended; only "
            "`agentrun.run()` around it ends that, after 5 seconds"
        },
        falls_back=dict.fromkeys(("async", "astream"), IN_LOOP),
        models_more=1,
    ),
    Framework(
        name="llamaindex",
        stage=2,
        title="LlamaIndex",
        instrumentation="openinference-instrumentation-llama-index",
        packages=("llama-index-core", "openinference-instrumentation-llama-index"),
        environment="strands",
        modes=("async", "astream"),
        leaves_out={
            "approval": "its instrumentation swallows what the start of a tool call raises: "
            "rules about tools act at the next model call. Ask inside of the tool; what is "
            "forbidden is refused where the tool is an `agentrun.tool`"
        },
    ),
    Framework(
        name="crewai",
        stage=2,
        title="CrewAI",
        instrumentation="openinference-instrumentation-crewai, and of the OpenAI client",
        packages=(
            "crewai",
            "openinference-instrumentation-crewai",
            "openinference-instrumentation-openai",
        ),
        environment="crewai",
        modes=("sync", "stream", "async"),
        leaves_out={
            "bare/async": "nothing makes a span of `akickoff`, so that every call is a trace of "
            "its own; `kickoff` in a thread has one"
        },
    ),
)


def by_name(name: str) -> Framework:
    return next(framework for framework in FRAMEWORKS if framework.name == name)


def plays(framework: Framework) -> list[tuple[str, str]]:
    """(scenario, mode) of all that is played, in order."""
    return [
        (scenario.name, mode)
        for scenario in SCENARIOS
        for mode in framework.modes
        if not {f"{scenario.name}/{mode}", scenario.name, mode} & framework.leaves_out.keys()
    ]
