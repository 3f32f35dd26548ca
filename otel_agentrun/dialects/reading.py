"""What a span says, for people: the read path.

A dialect offers a table `CONTENT` (field -> keys) and may offer `content(span, kind, logs)` for
what no single key holds; the table's plain values come first where both speak.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otel_agentrun import arguments, semconv
from otel_agentrun.dialects import messages
from otel_agentrun.dialects.dialect import Dialect
from otel_agentrun.dialects.messages import Message
from otel_agentrun.dialects.told import Told
from otel_agentrun.step import Event, Kind, SpanView, as_number, as_text

SNIPPET_CHARS_MAX: Final = 500

EMPTY: Final[tuple[Any, ...]] = ("", "[]", "{}", "null", [], {}, ())
"""Values that say nothing, as text and typed (Semantic Kernel sends `[]` for what it hides)."""

COMMON: Final[Mapping[str, tuple[str, ...]]] = {
    "filters": (semconv.RETRIEVAL_FILTERS,),
    "embedding_model": (semconv.RETRIEVAL_EMBEDDING_MODEL,),
    "arguments_valid": (semconv.TOOL_ARGUMENTS_VALID,),
    "tool_version": (semconv.TOOL_VERSION,),
    "prompt_name": ("gen_ai.prompt.name",),
    "prompt_version": ("gen_ai.prompt.version",),
    "decision": (semconv.PLAN_DECISION,),
    "plan_step_id": (semconv.PLAN_STEP_ID,),
    "summary": (semconv.STEP_SUMMARY,),
}
VARIABLE: Final = "gen_ai.prompt.variable."
PREFIXES: Final = (VARIABLE, "gen_ai.request.")
REQUEST: Final[Mapping[str, tuple[str, ...]]] = {
    "temperature": ("gen_ai.request.temperature",),
    "top_p": ("gen_ai.request.top_p",),
    "top_k": ("gen_ai.request.top_k",),
    "max_tokens": ("gen_ai.request.max_tokens", "max_completion_tokens", "max_output_tokens"),
    "stop_sequences": ("gen_ai.request.stop_sequences", "stop"),
    "frequency_penalty": ("gen_ai.request.frequency_penalty",),
    "presence_penalty": ("gen_ai.request.presence_penalty",),
    "seed": ("gen_ai.request.seed",),
    "stream": ("gen_ai.request.stream",),
    "choice_count": ("gen_ai.request.choice.count",),
    "reasoning_level": ("gen_ai.request.reasoning.level", "reasoning_effort"),
    "previous_response_id": ("gen_ai.request.previous_response.id",),
}
REQUEST_KEYS: Final = frozenset(key for keys in REQUEST.values() for key in keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a span holds that is to be read, not computed with; `None` where it says nothing."""

    input: str | None = None
    """A run's task, a model call's last user or tool message, the raw value elsewhere."""
    output: str | None = None
    """A run's answer, the assistant's text, the raw value elsewhere."""
    messages_in: list[Message] | None = None
    messages_out: list[Message] | None = None
    system_instructions: str | None = None
    arguments: Any = None
    """Parsed where the emitter sent JSON or a Python literal, else text."""
    result: Any = None
    arguments_valid: bool | None = None
    tool_version: str | None = None
    query: str | None = None
    data_source: str | None = None
    embedding_model: str | None = None
    filters: Any = None
    top_k: int | None = None
    documents: list[dict[str, Any]] | None = None
    """{`id`, `score`, `reranker_score`, `rank`, `version`, `snippet`}, in the emitter's order."""
    tools_offered: list[str] | None = None
    context_compacted: bool | None = None
    request: dict[str, Any] | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    prompt_variables: dict[str, Any] | None = None
    decision: Any = None
    plan_step_id: str | None = None
    summary: str | None = None


def read(span: SpanView, dialect: Dialect, logs: Sequence[Event]) -> Content:
    """The content of one span; `logs` are the log records that carry its span id."""
    kind = dialect.kind(span)
    table = {**COMMON, **dialect.content_keys}
    for field in COMMON.keys() & dialect.content_keys.keys():
        table[field] = (*COMMON[field], *dialect.content_keys[field])
    raw: dict[str, Any] = {}
    for field, keys in table.items():
        for key in keys:
            value = span.get(key)
            if value is not None and value not in EMPTY:
                raw[field] = value
                break
    for field in ("messages_in", "messages_out"):
        sent = raw.get(field)
        if sent is not None:
            parsed = messages.parse(sent)
            raw[field] = parsed
            if parsed is None:
                # Cut or of a shape of its own: show it as it came.
                raw.pop(field)
                raw.setdefault("input" if field == "messages_in" else "output", sent)
    if dialect.content is not None:
        for field, value in dialect.content(span, kind, logs).items():
            if value is None:  # what the key holds is not worth showing
                raw.pop(field, None)
            else:
                raw.setdefault(field, value)
    for field in ("messages_in", "messages_out"):
        for one in raw.get(field, ()):
            for call in one.get("tool_calls", ()):
                call["arguments"] = _parsed(call["arguments"])
    return _build(span, kind, raw)


def of_told(call: Told) -> Content:
    """The content of a call that another span tells of."""
    if call.kind is not Kind.TOOL:
        return Content()
    return Content(
        input=_text(call.arguments),
        output=_text(call.result),
        arguments=arguments.unwrap(_parsed(call.arguments)),
        result=arguments.result(call.result) if call.result is not None else None,
    )


def _build(span: SpanView, kind: Kind, raw: Mapping[str, Any]) -> Content:
    get = raw.get
    messages_in, messages_out = get("messages_in"), get("messages_out")
    system = messages.text_of(get("system_instructions")) or _system(messages_in)
    text_in, text_out = _text(get("input")), _text(get("output"))
    given, result = get("arguments"), get("result")
    if kind is Kind.MODEL:
        text_in = messages.prompt(messages_in) or text_in
        text_out = messages.answer(messages_out) or (text_out if messages_out is None else None)
    elif kind is Kind.RUN:
        # Pydantic AI sends one list of everything that was said; its last answer is the result.
        text_in = messages.task(messages_in) or text_in
        text_out = messages.answer(messages_out) or text_out or messages.answer(messages_in)
        text_out = text_out.strip() if text_out else None  # Strands ends an answer with a newline
    elif kind is Kind.TOOL:
        text_in, text_out = text_in or _text(given), text_out or _text(result)
    elif kind is Kind.RETRIEVE:
        text_in = _text(get("query")) or text_in
    is_tool = kind is Kind.TOOL
    parsed_arguments = arguments.unwrap(_parsed(given)) if is_tool else None
    variables = {
        key[len(VARIABLE) :]: value
        for key, value in span.attributes.items()
        if key.startswith(VARIABLE)
    }
    documents = _documents(get("documents")) if kind is Kind.RETRIEVE else None
    top_k = as_number(get("top_k") if "top_k" in raw else span.get("gen_ai.request.top_k"))
    return Content(
        input=text_in or None,
        output=text_out or None,
        messages_in=messages_in or None,
        messages_out=messages_out or None,
        system_instructions=system,
        arguments=parsed_arguments,
        result=arguments.result(result) if is_tool and result is not None else None,
        arguments_valid=_boolean(get("arguments_valid")),
        tool_version=_text(get("tool_version")),
        query=_text(get("query")),
        data_source=_text(get("data_source")),
        embedding_model=_text(get("embedding_model")) if kind is Kind.RETRIEVE else None,
        filters=_parsed(get("filters")),
        top_k=int(top_k) if top_k is not None and kind is Kind.RETRIEVE else None,
        documents=documents,
        tools_offered=_tool_names(get("tools_offered")),
        context_compacted=_boolean(get("context_compacted")),
        request=_request(span, get("parameters")) if kind in (Kind.MODEL, Kind.RUN) else None,
        prompt_name=_text(get("prompt_name")),
        prompt_version=_text(get("prompt_version")),
        prompt_variables=variables or _mapping(get("prompt_variables")),
        decision=_parsed(get("decision")),
        plan_step_id=_text(get("plan_step_id")),
        summary=_text(get("summary")),
    )


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else as_text(value)


def _parsed(value: Any) -> Any:
    return arguments.parse(value) if isinstance(value, str) else value


def _mapping(value: Any) -> dict[str, Any] | None:
    parsed = _parsed(value)
    return dict(parsed) if isinstance(parsed, Mapping) and parsed else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool) or value is None:
        return value
    return {"true": True, "false": False}.get(str(value).lower())


def _system(messages_in: Sequence[Message] | None) -> str | None:
    texts = [
        one["content"]
        for one in messages_in or ()
        if one["role"] == "system" and one.get("content")
    ]
    return "\n".join(texts) or None


def _tool_names(value: Any) -> list[str] | None:
    """Names of offered tools, from definitions in any of the usual shapes."""
    parsed = _parsed(value)
    names: list[str] = []
    for item in parsed if isinstance(parsed, list | tuple) else ():
        one = _parsed(item)
        if isinstance(one, Mapping):
            inner = one.get("function")
            name = inner.get("name") if isinstance(inner, Mapping) else one.get("name")
            if isinstance(name, str):
                names.append(name)
        elif isinstance(one, str):
            names.append(one)
    return names or None


def _documents(value: Any) -> list[dict[str, Any]] | None:
    parsed = _parsed(value)
    if not isinstance(parsed, list | tuple):
        return None
    return [
        _document(item, rank) for rank, item in enumerate(parsed, 1) if isinstance(item, Mapping)
    ] or None


def _document(item: Mapping[str, Any], rank: int) -> dict[str, Any]:
    metadata = _mapping(item.get("metadata")) or {}
    text = next(
        (item[key] for key in ("snippet", "content", "page_content", "text") if item.get(key)), None
    )
    fields = {
        "id": item.get("id") or metadata.get("id") or metadata.get("source"),
        "score": as_number(item.get("score")),
        "reranker_score": as_number(item.get("reranker_score")),
        "rank": item.get("rank", rank),
        "version": item.get("version") or metadata.get("version"),
        "snippet": as_text(text)[:SNIPPET_CHARS_MAX] if text is not None else None,
    }
    return {key: found for key, found in fields.items() if found is not None}


def _request(span: SpanView, parameters: Any) -> dict[str, Any] | None:
    """Parameters of a model request, numbers as numbers."""
    sent = _mapping(parameters) or {}
    out: dict[str, Any] = {}
    for name, keys in REQUEST.items():
        for key in (*keys, name):
            value = span.get(key) if key.startswith("gen_ai.") else sent.get(key)
            if value is not None and value != "":
                value = _value(value)
                if not isinstance(value, float) or math.isfinite(value):  # no limit: `Infinity`
                    out[name] = value
                break
    return out or None


def _value(value: Any) -> Any:
    if not isinstance(value, str):
        return list(value) if isinstance(value, tuple) else value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
