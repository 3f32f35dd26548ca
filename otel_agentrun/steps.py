"""plan, model, tool, retrieve, validate, handoff: context managers and decorators.

    with agentrun.tool("search_orders", arguments={"customer": 7}) as step:
        step.result(orders)

    @agentrun.tool
    def search_orders(customer: int) -> list[Order]: ...

Each is a span that follows the GenAI conventions, with `agentrun.step.kind` on top, named
`agent.<kind> <target>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

from otel_agentrun import semconv
from otel_agentrun.functions import is_function
from otel_agentrun.messages import as_messages
from otel_agentrun.model_step import Model
from otel_agentrun.retrieve_step import Retrieve
from otel_agentrun.step_kinds import Plan, Tool, Validate

__all__ = ["Common", "handoff", "model", "plan", "retrieve", "tool", "validate"]

F = TypeVar("F", bound=Callable[..., Any])


class Common(TypedDict, total=False):
    """What every step takes."""

    summary: str
    """What it does, in one sentence."""
    branch: str
    """The branch of the workflow that it is in."""
    plan_step: str
    """Id of the compiled plan step that it carries out."""
    attempt: int
    """Number of this attempt, from 1; found out where a failed call is simply made again."""
    retry_reason: str
    cost_usd: float
    """What it cost, where the application knows."""
    attributes: Mapping[str, Any]
    """Your own, under any names."""


# ---------------------------------------------------------------------- what applications call


@overload
def plan(name: F, /) -> F: ...
@overload
def plan(
    name: str = "", /, *, input: object = None, iteration: int | None = None,
    route: str = "", **common: Unpack[Common],
) -> Plan: ...  # fmt: skip
def plan(
    name: Any = "", /, *, input: object = None, iteration: int | None = None,
    route: str = "", **common: Unpack[Common],
) -> Any:  # fmt: skip
    """Planning, routing, choosing a fallback or combining results.

    `name` says who plans or what (by default the agent); `iteration` counts planning rounds from 1.
    """
    if is_function(name):
        return Plan("").__call__(name)
    step = Plan(name, **common)
    step._say({semconv.PLAN_ITERATION: iteration, semconv.ROUTE_NAME: route})
    return step if input is None else step.input(input)


def model(
    name: str,
    /,
    *,
    provider: str,
    operation: str = "chat",
    messages: object = None,
    system: object = None,
    tools: object = None,
    prompt_name: str = "",
    prompt_version: str = "",
    prompt_variables: Mapping[str, object] | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    stop_sequences: Sequence[str] = (),
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    reasoning_level: str = "",
    stream: bool | None = None,
    output_type: str = "",
    tool_choice: str = "",
    route: str = "",
    context_compacted: bool | None = None,
    server_address: str = "",
    **common: Unpack[Common],
) -> Model:
    """One inference call of the model `name`.

    `provider` as the conventions spell it (`openai`, `anthropic`, `gcp.vertex_ai`, ...);
    `operation` is `chat`, `generate_content`, `text_completion` or `embeddings`.  `messages` may
    have the shape that the provider's client takes.
    """
    step = Model(name, **common)
    step._say(
        {
            semconv.OPERATION: operation,
            semconv.GEN_AI_PROVIDER_NAME: provider,
            semconv.GEN_AI_REQUEST_MODEL: name,
            semconv.GEN_AI_PROMPT_NAME: prompt_name,
            semconv.GEN_AI_PROMPT_VERSION: prompt_version,
            semconv.GEN_AI_REQUEST_TEMPERATURE: None if temperature is None else float(temperature),
            semconv.GEN_AI_REQUEST_TOP_P: None if top_p is None else float(top_p),
            semconv.GEN_AI_REQUEST_TOP_K: top_k,
            semconv.GEN_AI_REQUEST_MAX_TOKENS: max_tokens,
            semconv.GEN_AI_REQUEST_SEED: seed,
            semconv.GEN_AI_REQUEST_STOP_SEQUENCES: list(stop_sequences) or None,
            semconv.GEN_AI_REQUEST_FREQUENCY_PENALTY: frequency_penalty,
            semconv.GEN_AI_REQUEST_PRESENCE_PENALTY: presence_penalty,
            semconv.GEN_AI_REQUEST_REASONING_LEVEL: reasoning_level,
            semconv.GEN_AI_REQUEST_STREAM: stream,
            semconv.GEN_AI_OUTPUT_TYPE: output_type,
            semconv.MODEL_TOOL_CHOICE: tool_choice,
            semconv.ROUTE_NAME: route,
            semconv.GEN_AI_CONVERSATION_COMPACTED: context_compacted,
            semconv.SERVER_ADDRESS: server_address,
        }
    )
    content = step._content
    if messages is not None:
        content[semconv.GEN_AI_INPUT_MESSAGES] = as_messages(messages)
    if system is not None:
        content[semconv.GEN_AI_SYSTEM_INSTRUCTIONS] = (
            [{"type": "text", "content": system}] if isinstance(system, str) else system
        )
    if tools is not None:
        content[semconv.GEN_AI_TOOL_DEFINITIONS] = tools
    for variable, value in (prompt_variables or {}).items():
        content[f"{semconv.GEN_AI_PROMPT_VARIABLE_PREFIX}{variable}"] = value
    return step


@overload
def tool(name: F, /) -> F: ...
@overload
def tool(
    name: str = "", /, *, arguments: object = None, call_id: str = "", version: str = "",
    type: Literal["function", "extension", "datastore"] = "function", description: str = "",
    sensitive: bool = False, url: str = "", **common: Unpack[Common],
) -> Tool: ...  # fmt: skip
def tool(
    name: Any = "", /, *, arguments: object = None, call_id: str = "", version: str = "",
    type: Literal["function", "extension", "datastore"] = "function", description: str = "",
    sensitive: bool = False, url: str = "", **common: Unpack[Common],
) -> Any:  # fmt: skip
    """One call of a tool or an external API.

    `call_id` is the model's id of the call, `version` the tool's; `sensitive` marks effects that an
    audit asks for; `url` is the endpoint of an API call.
    """
    if is_function(name):
        return tool().__call__(name)
    step = Tool(name, **common)
    step._attributes[semconv.GEN_AI_TOOL_TYPE] = type
    if call_id or version or description or sensitive or url:
        step._say(
            {
                semconv.GEN_AI_TOOL_CALL_ID: call_id,
                semconv.GEN_AI_TOOL_DESCRIPTION: description,
                semconv.TOOL_VERSION: version,
                semconv.TOOL_SENSITIVE: sensitive or None,
                semconv.URL_FULL: url,
            }
        )
    if arguments is not None:
        step._content[semconv.GEN_AI_TOOL_CALL_ARGUMENTS] = arguments
    return step


def handoff(
    to: str, /, *, role: str = "", reason: str = "", message: object = None,
    **common: Unpack[Common],
) -> Tool:  # fmt: skip
    """The task passes to another agent; what that agent does goes inside, `reply` is its answer."""
    step = Tool(f"transfer_to_{to}", **common)
    step._say(
        {
            semconv.STEP_ROLE: "handoff",
            semconv.GEN_AI_TOOL_TYPE: "function",
            semconv.HANDOFF_TO: to,
            semconv.HANDOFF_ROLE: role,
        }
    )
    if reason:
        step._content[semconv.HANDOFF_REASON] = reason
    if message is not None:
        step._content[semconv.HANDOFF_MESSAGE] = message
    return step


@overload
def retrieve(name: F, /) -> F: ...
@overload
def retrieve(
    name: str = "", /, *, query: object = None, top_k: int | None = None, filters: object = None,
    collection: str = "", embedding_model: str = "", reranker: str = "", index_version: str = "",
    provider: str = "", memory: bool = False, **common: Unpack[Common],
) -> Retrieve: ...  # fmt: skip
def retrieve(
    name: Any = "", /, *, query: object = None, top_k: int | None = None,
    filters: object = None, collection: str = "", embedding_model: str = "", reranker: str = "",
    index_version: str = "", provider: str = "", memory: bool = False, **common: Unpack[Common],
) -> Any:  # fmt: skip
    """Retrieval from the data source `name`, reranking, or (`memory=True`) search in a memory."""
    if is_function(name):
        return retrieve().__call__(name)
    step = Retrieve(name, **common)
    place = semconv.GEN_AI_MEMORY_STORE_ID if memory else semconv.GEN_AI_DATA_SOURCE_ID
    step._say(
        {
            semconv.OPERATION: "search_memory" if memory else "retrieval",
            place: name,
            semconv.GEN_AI_RETRIEVAL_TOP_K: top_k,
            semconv.RETRIEVAL_COLLECTION: collection,
            semconv.RETRIEVAL_EMBEDDING_MODEL: embedding_model,
            semconv.RETRIEVAL_RERANKER: reranker,
            semconv.INDEX_VERSION: index_version,
            semconv.GEN_AI_PROVIDER_NAME: provider,
        }
    )
    if query is not None:
        asked = semconv.GEN_AI_MEMORY_QUERY_TEXT if memory else semconv.GEN_AI_RETRIEVAL_QUERY_TEXT
        step._content[asked] = query
    if filters is not None:
        step._content[semconv.RETRIEVAL_FILTERS] = filters
    return step


@overload
def validate(name: F, /) -> F: ...
@overload
def validate(
    name: str = "", /, *, input: object = None, check: str = "", rule: str = "",
    **common: Unpack[Common],
) -> Validate: ...  # fmt: skip
def validate(
    name: Any = "", /, *, input: object = None, check: str = "", rule: str = "",
    **common: Unpack[Common],
) -> Any:  # fmt: skip
    """A check: `check` says of what kind (`schema`, `guardrail`, `policy`, `evaluation`), `rule`
    which one.  Passed unless it says otherwise or an exception leaves it."""
    if is_function(name):
        return Validate("").__call__(name)
    step = Validate(name, **common)
    step._say({semconv.VALIDATION_KIND: check, semconv.VALIDATION_RULE: rule})
    return step if input is None else step.input(input)
