"""Which spans are an agent's work: those of agent instrumentation, told by who makes them.

Only they are refused in a stopped run.  What a stopped run still does, rolls back a transaction,
closes connections, exports, goes through transport, database and other spans, which never are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import semconv
from otel_agentrun.dialects import (
    adk,
    agent_framework,
    agentops,
    anthropic_sdk,
    autogen,
    claude_code,
    instrumentors,
    langfuse,
    langsmith,
    litellm,
    mlflow,
    openlit,
    pydantic_ai,
    semantic_kernel,
    strands,
    traceloop,
    transport,
)

__all__ = ["is_agent_work", "says_agent"]

OTEL: Final = "opentelemetry.instrumentation."

EXACT: Final = frozenset(
    {
        adk.SCOPE, agent_framework.SCOPE, agentops.SCOPE, anthropic_sdk.SCOPE, autogen.CORE,
        langfuse.SCOPE, langsmith.SCOPE, litellm.SCOPE, openlit.SCOPE, pydantic_ai.SCOPE,
        strands.SCOPE, traceloop.SCOPE, *instrumentors.BY_SCOPE, *traceloop.CLIENTS, "ai",
        "logfire.openai", "logfire.anthropic", "logfire.google_genai", "opentelemetry.util.genai",
        *(f"{OTEL}{name}" for name in (
            "openai_v2", "openai", "google_genai", "vertexai", "anthropic_v2", "openai_agents_v2",
            "botocore.bedrock-runtime", "mcp", "langchain_v2", "weaviate_agents",
        )),
    }
)  # fmt: skip
PREFIXES: Final = (
    "openinference.instrumentation.", openlit.SCOPES, agentops.SCOPES, semantic_kernel.SCOPES,
    mlflow.SCOPE, "opentelemetry.util.genai.", *claude_code.SCOPES,
)  # fmt: skip
STORES: Final = frozenset(
    {
        *traceloop.STORES,
        *(f"{openlit.SCOPES}{name}" for name in (
            "astra", "chroma", "milvus", "pinecone", "qdrant", "postgres", "psycopg", "redis",
        )),
    }
)  # fmt: skip
"""Instrumentations of databases by the same makers: a rollback may go through them."""
MARKS: Final = frozenset(
    {
        "gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind",
        "langfuse.observation.type", "mlflow.spanType", "agentops.span.kind", "ai.operationId",
        "llm.request.type",
    }
)  # fmt: skip
"""What a span that begins may say of itself, whoever makes it: Logfire makes spans of all sorts."""
TRANSPORT: Final = frozenset(transport.MARKS)
AGENT_OPERATIONS: Final = frozenset({"invoke_agent", "invoke_workflow"})
AGENT_KINDS: Final = frozenset({"AGENT", "agent"})

SCOPES_MAX: Final = 4096
_known: dict[str, bool] = {}


def is_agent_work(scope_name: str, stated: Mapping[str, Any]) -> bool:
    """Whether a span that begins is one of agent instrumentation, a step of ours included; our own
    `other` steps (the answer of a run) are not work.

    `stated` are the attributes it begins with.
    """
    own = stated.get(semconv.STEP_KIND)
    if own is not None:
        return bool(own != "other")
    known = _known.get(scope_name)
    if known is None:
        known = scope_name in EXACT or (
            scope_name.startswith(PREFIXES) and scope_name not in STORES
        )
        if len(_known) < SCOPES_MAX:
            _known[scope_name] = known
    if known:
        return True
    return not MARKS.isdisjoint(stated) and TRANSPORT.isdisjoint(stated)


def says_agent(stated: Mapping[str, Any]) -> bool:
    """Whether a span that begins says that it is an agent's invocation; most say it later."""
    return (
        stated.get("gen_ai.operation.name") in AGENT_OPERATIONS
        or stated.get("openinference.span.kind") == "AGENT"
        or stated.get("traceloop.span.kind") in AGENT_KINDS
    )
