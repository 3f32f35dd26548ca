"""Spans of MLflow Tracing, in its own attributes and in its GenAI mode.

Source: mlflow/mlflow, mlflow/tracing/constant.py, mlflow/entities/span.py (span types),
mlflow/tracing/processor/otel.py and mlflow/tracing/export/genai_semconv/translator.py (what
`MLFLOW_ENABLE_OTEL_GENAI_SEMCONV` makes of a span), in 3.17.2; captures
tests/captures/mlflow and mlflow-genai.

All `mlflow.*` values are JSON, strings in quotes among them.  The GenAI mode has the conventions'
names, types of MLflow's where the conventions have none (`CHAIN`, `RETRIEVER`), and arguments and
results in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import answers, genai, kinds, messages
from otel_agentrun.dialects.dialect import table_usage
from otel_agentrun.dialects.handoffs import tool_for
from otel_agentrun.dialects.labels import chosen
from otel_agentrun.dialects.raw_usage import counts, load
from otel_agentrun.dialects.tables import Found, Labels, as_nano_usd, unquoted
from otel_agentrun.step import Event, Kind, Role, SpanView, ToolRequest, Usage, as_text

NAME: Final = "mlflow"
CHECKED: Final = (
    "mlflow 3.17.2: decorators and autologging of OpenAI, Anthropic, LangGraph, OpenAI Agents and "
    "Pydantic AI, in both modes"
)
CANNOT_TELL: Final[tuple[str, ...]] = (
    "Tool call ids.",
    "With `update_current_trace(metadata=..., tags=...)` 3.17.2 loses the root, and with it the "
    "run's name, session and user.",
    "GenAI mode: cached and reasoning tokens, what a retrieval found, a run's own task and answer, "
    "handoffs, the name of a Pydantic AI agent.",
)

TYPE: Final = "mlflow.spanType"
INPUTS: Final = "mlflow.spanInputs"
OUTPUTS: Final = "mlflow.spanOutputs"
SCOPE: Final = "mlflow."
TRACE_TAG: Final = "mlflow.traceTag."

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "provider": ("mlflow.llm.provider", *genai.KEYS["provider"]),
    "model": ("mlflow.llm.model", *genai.KEYS["model"], "model"),
    "token_usage": ("mlflow.chat.tokenUsage",),
    "cost_details": ("mlflow.llm.cost",),
    "function_name": ("mlflow.spanFunctionName",),
    "linked_prompts": ("mlflow.linkedPrompts",),
    "input": (INPUTS, *genai.KEYS["input"]),
    "output": (OUTPUTS, *genai.KEYS["output"]),
}
AGENT: Final = "name"
"""Pydantic AI's agent, whose attributes become those of the span."""
ALSO_READ: Final = frozenset({TYPE, INPUTS, AGENT, genai.OPERATION})
EVENTS: Final = genai.EVENTS

KINDS: Final[Mapping[str, Kind]] = {
    "AGENT": kinds.RUN,
    "LLM": kinds.MODEL,
    "CHAT_MODEL": kinds.MODEL,
    "EMBEDDING": kinds.MODEL,
    "TOOL": kinds.TOOL,
    "RETRIEVER": kinds.RETRIEVE,
    "RERANKER": kinds.RETRIEVE,
    "GUARDRAIL": kinds.VALIDATE,
    "EVALUATOR": kinds.VALIDATE,
}
"""Span type -> kind; others are OTHER, unless they are the root."""
WRAPPERS: Final = frozenset({"CHAIN", "WORKFLOW", "TASK", "UNKNOWN"})

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    field: genai.CONTENT[field] for field in ("messages_in", "messages_out", "system_instructions")
}
CONTENT_PREFIXES: Final = (*genai.CONTENT_PREFIXES, "mlflow.chat.tools", genai.TOOL_DEFINITIONS)

NUMBERED: Final = re.compile(r"(.+)_\d+")


def recognizes(span: SpanView) -> bool:
    return TYPE in span.attributes or span.scope.startswith(SCOPE)


def _type(span: SpanView) -> str:
    """The span type, also where the GenAI mode made it the operation."""
    stated = span.attributes.get(TYPE) or span.attributes.get(genai.OPERATION)
    return stated.strip('"') if type(stated) is str else ""


HANDOFF: Final = "Handoff"
ENTRIES: Final = frozenset(
    {
        "AgentRunner.run", "AgentRunner.run_sync", "AgentRunner.run_streamed",
        "Agent.run_sync", "Agent.run_stream_sync",
    }
)  # fmt: skip
"""Methods of OpenAI Agents and Pydantic AI that have the agents' own spans below theirs."""
METHOD: Final = "Agent.run"
"""The agent itself, in Pydantic AI."""


def kind(span: SpanView) -> Kind:
    if span.name == HANDOFF and _hands_over(span):
        return kinds.TOOL
    stated = _type(span)
    found = KINDS.get(stated)
    if found is not None:
        return found
    if not span.parent_span_id and stated in WRAPPERS:
        return kinds.RUN
    return genai.KINDS.get(stated, kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    if kind is kinds.RUN:
        return kinds.WORKFLOW if _type(span) in WRAPPERS or _is_entry(span) else kinds.AGENT
    return kinds.NO_ROLE


def _is_entry(span: SpanView) -> bool:
    return span.name.removeprefix("invoke_agent ") in ENTRIES


def _hands_over(span: SpanView) -> bool:
    return span.text(INPUTS).startswith('{"from_agent"')


def label(key: str) -> str:
    name = key[len(TRACE_TAG) :] if key.startswith(TRACE_TAG) else ""
    return chosen(name) if name else ""


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    for name in ("provider", "model", "function_name", "agent_name", "tool_name"):
        if name in found:
            found[name] = unquoted(found[name])
    for name, value in labels.items():
        labels[name] = unquoted(value)
    if kind is kinds.MODEL:
        _derive_model(found)
    genai.derive(span, kind, found, labels)
    if kind is kinds.TOOL:
        if span.name == HANDOFF and _hands_over(span):
            _derive_handoff(found)
        found.setdefault("tool_name", _tool_name(span, found))
        if "input" in found:
            found.setdefault("arguments", found["input"])
        if "output" in found:
            found.setdefault("result", found["output"])
    elif kind is kinds.RUN:
        if _type(span) in WRAPPERS:
            labels.setdefault("workflow_name", span.name)
        elif _is_entry(span):
            found.pop("agent_name", None)
        elif span.name == METHOD and AGENT in span.attributes:
            found["agent_name"] = unquoted(span.text(AGENT))
        else:
            found.setdefault("agent_name", span.name)
    elif kind is kinds.RETRIEVE:
        if "input" in found:
            found.setdefault("query", found["input"])
        listed = arguments.parse(as_text(found.get("output", "")))
        if isinstance(listed, list):
            found["hit_count"] = len(listed)
    if "linked_prompts" in found:
        _derive_prompts(found["linked_prompts"], labels)


def _derive_handoff(found: Found) -> None:
    """A span of OpenAI Agents: what was called is a tool of the SDK's, named by the next agent."""
    given = load(found.get("output"))
    if agent := given.get("to_agent"):
        found["tool_name"] = tool_for(str(agent))
    found.pop("input", None)


def _tool_name(span: SpanView, found: Found) -> str:
    """Versions before 3.0 number spans of one name: `get_weather_2`."""
    function, numbered = found.get("function_name"), NUMBERED.fullmatch(span.name)
    return function if numbered and numbered.group(1) == function else span.name


def _derive_model(found: Found) -> None:
    """What only the answer of the model's API says; it is logged as it came."""
    sent = found.get("output")
    if type(sent) is str and sent[:1] == "{":
        answer = found["answer"] = load(sent)
        found.setdefault("response_id", answers.response_id(answer))
        found.setdefault("finish_reasons", answers.finish_reasons(answer))
    if "cost_details" in found:
        cost = as_nano_usd(load(found["cost_details"]).get("total_cost"))
        if cost is not None:
            found["reported_cost"] = cost


def _derive_prompts(sent: str, labels: Labels) -> None:
    listed = arguments.parse(sent)
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping) and one.get("name") and one.get("version"):
            labels[f"prompt_versions.{one['name']}"] = as_text(one["version"])


def usage(span: SpanView, found: Found) -> Usage | None:
    """MLflow's own counts; details that it leaves out are in the answer."""
    if "token_usage" in found:
        found |= counts(load(found["token_usage"]))
    if "answer" in found:
        for field, count in counts(answers.usage(found["answer"])).items():
            found.setdefault(field, count)
    return table_usage(span, found)


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    if "answer" in found:
        return answers.tool_requests(found["answer"])
    return genai.tool_requests(span, found)


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    sent_in = arguments.parse(span.text(INPUTS)) if span.has(INPUTS) else None
    sent_out = arguments.parse(span.text(OUTPUTS)) if span.has(OUTPUTS) else None
    out: dict[str, Any] = {}
    if kind is kinds.MODEL:
        out["messages_in"] = messages.parse(sent_in)
        out["messages_out"] = answers.said(sent_out)
        out["tools_offered"] = span.get("mlflow.chat.tools") or span.get(genai.TOOL_DEFINITIONS)
        out["parameters"] = sent_in if isinstance(sent_in, Mapping) else None
    elif kind is kinds.TOOL:
        out["arguments"] = sent_in or span.get("gen_ai.tool.call.arguments")
        out["result"] = sent_out or _parsed(span.get("gen_ai.tool.call.result"))
    elif kind is kinds.RETRIEVE:
        out["query"] = _only_value(sent_in)
        out["documents"] = sent_out
    else:
        if isinstance(sent_in, Mapping) and "messages" in sent_in:
            out["messages_in"] = messages.parse(sent_in)
        if isinstance(sent_out, Mapping) and "messages" in sent_out:
            out["messages_out"] = messages.parse(sent_out)
        out["input"], out["output"] = _only_value(sent_in), sent_out
    return {field: value for field, value in out.items() if value not in ("", None, [], {})}


def _parsed(value: Any) -> Any:
    return arguments.parse(value) if isinstance(value, str) else value


def _only_value(sent: Any) -> Any:
    """The one argument of a traced function, without its name."""
    if isinstance(sent, Mapping) and len(sent) == 1:
        (value,) = sent.values()
        return value if isinstance(value, str) else sent
    return sent
