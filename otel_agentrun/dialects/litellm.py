"""Spans of LiteLLM's OpenTelemetry callback, in the SDK and in the proxy, as steps.

Source: BerriAI/litellm, litellm/integrations/opentelemetry.py, 1.106.2 (capture
tests/captures/litellm) and 1.109.1 (by source).  A call is `litellm_request` (the convention's
attributes) with a child `raw_gen_ai_request` (what the provider was sent and answered, as Python's
repr).  Under a span of the application there is no `litellm_request`: its attributes are written
onto that span, each call over the one before, so that span is not read as a call.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import genai, kinds, messages, requests
from otel_agentrun.dialects.tables import Found, Labels, as_count
from otel_agentrun.dialects.told import Told, answered
from otel_agentrun.step import Event, Kind, Role, SpanView, Step, ToolRequest, Usage, as_text

NAME: Final = "litellm"
CHECKED: Final = "litellm 1.106.2 (SDK; chat completions), 1.109.1 by source"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "Tool calls of their own: the application runs tools without a span.  They are counted from "
    "the results in the next request; how long a tool took is unknown, a failure only where the "
    "result says so.",
    "Which calls are one run, without a span around them: those are that bring results of tools "
    "which an earlier one asked for.",
    "Calls that were given the same `metadata` object as an earlier one: their spans are lost.",
    "An application's failure outside of its model calls.",
    "Under a span of the application: failed calls, but for the last one's error on that span.",
    "Streamed calls under a span of the application: tokens; without `await`, that they belong to "
    "it: they are traces of their own.",
)

SCOPE: Final = "litellm"
CALL_ID: Final = "litellm.call_id"
REQUEST_TYPE: Final = "llm.request.type"
AGENT: Final = "gen_ai.agent.name"
USAGE: Final = "metadata.usage_object"

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **genai.KEYS,
    "reported_cost": ("gen_ai.cost.total_cost", *genai.KEYS["reported_cost"]),
    "usage_details": (USAGE,),
    "guardrail_status": ("guardrail_status",),
}
PREFIXES: Final[Mapping[str, str]] = {
    "gen_ai.completion.": "flat_output",
    "llm.*.messages": "raw_input",
    "llm.*.usage": "raw_usage",
    "llm.*.usageMetadata": "raw_usage",
    "llm.*.choices": "raw_output",
    "llm.*.content": "raw_output",
    "llm.*.output": "raw_output",
    "llm.*.candidates": "raw_output",
    "llm.*.id": "raw_id",
    "llm.*.responseId": "raw_id",
    "llm.*.model": "raw_model",
    "llm.*.stop_reason": "raw_reason",
}
"""`llm.<provider>.<parameter>`: each provider's own request and response."""
ALSO_READ: Final = frozenset({genai.OPERATION, CALL_ID, REQUEST_TYPE, AGENT})
EVENTS: Final = genai.EVENTS

CALLS: Final[Mapping[str, Kind]] = {
    "completion": kinds.MODEL,
    "text_completion": kinds.MODEL,
    "embedding": kinds.MODEL,
    "responses": kinds.MODEL,
    "nthropic_messages": kinds.MODEL,  # `anthropic_messages` without its first letter
    "generate_content": kinds.MODEL,
    "generate_content_stream": kinds.MODEL,
    "image_generation": kinds.MODEL,
    "transcription": kinds.MODEL,
    "speech": kinds.MODEL,
    "rerank": kinds.RETRIEVE,
    "vector_store_search": kinds.RETRIEVE,
    "moderation": kinds.VALIDATE,
    "call_mcp_tool": kinds.TOOL,
}
"""`call_type` in the place of an operation's name -> kind; asynchronous ones start with an "a"."""
LEAVING_NS: Final = 1_000_000
"""An exception that was noted no longer than this before its span's end has ended it."""
RAW: Final = "raw_gen_ai_request"
RAW_FIELDS: Final[Mapping[str, str]] = {"response_id": "raw_id", "model": "raw_model"}
GUARDRAIL: Final = "guardrail"

CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    field: keys for field, keys in genai.CONTENT.items() if field != "messages_out"
}
CONTENT_PREFIXES: Final = (*genai.CONTENT_PREFIXES, "llm.")

LABELS: Final[Mapping[str, str]] = {
    "llm.user": "user_id",
    "metadata.user_api_key_end_user_id": "user_id",
    "metadata.user_api_key_alias": "virtual_key",
    "metadata.user_api_key_team_alias": "tags.team",
}
COUNTS: Final[Mapping[str, tuple[tuple[str, re.Pattern[str]], ...]]] = {
    # A pattern that begins with a text is searched for five times faster: hence the look back.
    field: tuple(
        (name, re.compile(rf"""{name}(?<=['"]{name})['"]: ?(\d+)""")) for name in names
    )
    for field, names in {
        "input_tokens": ("prompt_tokens", "input_tokens", "promptTokenCount"),
        "output_tokens": ("completion_tokens", "output_tokens", "candidatesTokenCount"),
        "cache_read_tokens": (
            "cached_tokens", "cache_read_input_tokens", "cachedContentTokenCount",
        ),
        "cache_write_tokens": ("cache_creation_input_tokens", "cache_write_tokens"),
        "reasoning_tokens": ("reasoning_tokens", "thoughtsTokenCount"),
    }.items()
}  # fmt: skip
"""Counts within the repr (or JSON) of a usage object: a search, as parsing takes 50 µs."""
NO_COUNTS: Final = dict.fromkeys(COUNTS)
FINISH: Final = re.compile(r"""finish(?<=['"]finish)_?[rR]eason['"]: ?['"](\w+)['"]""")
RAW_KEY: Final = re.compile(r"llm\.([^.]+)\.usage")
RAW_INPUT: Final = re.compile(r"llm\.[^.]+\.messages")
ANSWER: Final = "{'role': 'assistant'"
TAIL_CHARS_MAX: Final = 16_384
LISTED: Final = "'tool_calls': ["
CALL_MARKS: Final = (LISTED, 'tool_calls": [', "tool_use", "function_call", "functionCall")
NO_CALLS: Final = ("'function_call': None", '"function_call": null')
"""In every answer of OpenAI's."""
CALL: Final = re.compile(
    r"\{(?:(?:'id': '(?P<id>[^'\\]+)'|'type': 'function'|'index': \d+|'function': \{(?:"
    r"'arguments': '(?P<given>(?:[^'\\]|\\.)*)', 'name': '(?P<name>[^'\\]+)'|"
    r"'name': '(?P<name_first>[^'\\]+)', 'arguments': '(?P<given_last>(?:[^'\\]|\\.)*)'"
    r")\})(?:, |(?=\})))+\}(?P<next>, |\])",
    re.DOTALL,
)
"""One call in the repr of an OpenAI answer."""
PARTS: Final = re.compile(r"""'content': (?:\[|['"]\s*[\[{])""")
"""Content that may hold calls, too."""


def recognizes(span: SpanView) -> bool:
    return span.scope == SCOPE or CALL_ID in span.attributes


def kind(span: SpanView) -> Kind:
    if span.scope != SCOPE:
        # Its operation is the last call's; an agent's name is the application's.
        return kinds.RUN if AGENT in span.attributes else kinds.OTHER
    if span.name == GUARDRAIL:
        return kinds.VALIDATE
    operation = span.text(genai.OPERATION)
    if not operation:
        is_raw = span.name == RAW or any(key.startswith("llm.") for key in span.attributes)
        return kinds.MODEL if is_raw else kinds.OTHER
    known = genai.KINDS.get(operation) or CALLS.get(operation) or CALLS.get(operation[1:])
    return known or (kinds.MODEL if REQUEST_TYPE in span.attributes else kinds.OTHER)


def role(span: SpanView, kind: Kind) -> Role:
    return kinds.AGENT if kind is kinds.RUN else genai.role(span, kind)


def label(key: str) -> str:
    return LABELS.get(key, "")


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    genai.derive(span, kind, found, labels)
    if kind is kinds.MODEL:
        _derive_raw(span, found)
    elif kind is kinds.VALIDATE and found.get("guardrail_status") == "guardrail_intervened":
        found.setdefault("status", "error")
        found.setdefault("error_type", "guardrail_intervened")
    elif span.scope != SCOPE and span.events and _raised(span):
        found.setdefault("status", "error")


def _raised(span: SpanView) -> bool:
    """Whether an exception ended a span of the application.

    Its OK is LiteLLM's, of a call that worked, and OpenTelemetry keeps an OK.  LiteLLM also notes
    the exceptions of failed calls there; one that leaves the span is noted (again) as it ends.
    """
    raised = [event for event in span.events if event.name == "exception"]
    if not raised or span.end_ns - raised[-1].time_ns > LEAVING_NS:
        return False
    names = [str(event.attributes.get("exception.type", "")) for event in raised]
    return not names[-1].startswith(f"{SCOPE}.") or names.count(names[-1]) > 1


def _derive_raw(span: SpanView, found: Found) -> None:
    if "provider" not in found and "raw_usage" in found:
        found["provider"] = _provider(tuple(span.attributes))
    for field in ("response_id", "model"):
        if field not in found and RAW_FIELDS[field] in found:
            found[field] = str(found[RAW_FIELDS[field]])
    if "finish_reasons" not in found:
        reason = FINISH.search(str(found.get("raw_output", "")))
        if "raw_reason" in found:
            found["finish_reasons"] = (str(found["raw_reason"]),)
        elif reason:
            found["finish_reasons"] = (reason.group(1),)
    if "raw_output" in found:
        found.setdefault("output", found["raw_output"])


@lru_cache(maxsize=1024)
def _provider(keys: tuple[str, ...]) -> str:
    named = (matched.group(1) for key in keys if (matched := RAW_KEY.match(key)))
    return next((name for name in named if name != "None"), "")  # Responses API: `llm.None.usage`


def usage(span: SpanView, found: Found) -> Usage | None:
    """Counts from attributes, details from the usage object.

    A raw answer of Anthropic's API counts cached tokens apart from the input; Gemini's counts
    thoughts apart from the output.
    """
    get = found.get
    details = str(get("usage_details") or get("raw_usage") or "")
    counts: dict[str, int | None] = {}
    for field, patterns in COUNTS.items():
        count = get(field)
        counts[field] = _count(details, patterns) if count is None and details else count
    if counts == NO_COUNTS:
        return None
    if "usage_details" not in found and "input_tokens" not in found:
        if "prompt_tokens" not in details and "cache_read_input_tokens" in details:
            parts: tuple[str, ...] = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
            counts["input_tokens"] = sum(counts[part] or 0 for part in parts)
        elif "candidatesTokenCount" in details:
            parts = ("output_tokens", "reasoning_tokens")
            counts["output_tokens"] = sum(counts[part] or 0 for part in parts)
    return Usage(**counts)


def _count(details: str, patterns: Sequence[tuple[str, re.Pattern[str]]]) -> int | None:
    """What comes first of the names that one count has."""
    best = None
    for name, pattern in patterns:
        matched = pattern.search(details) if name in details else None
        if matched is not None and (best is None or matched.start() < best.start()):
            best = matched
    return None if best is None else as_count(best.group(1))


def tool_requests(span: SpanView, found: Found) -> tuple[ToolRequest, ...]:
    raw = found.get("raw_output")
    if raw is not None:
        text = str(raw)
        said = text
        for nothing in NO_CALLS:
            said = said.replace(nothing, "")
        if not any(mark in said for mark in CALL_MARKS):
            return ()
        asked = _listed(text)
        return messages.tool_requests(_messages(raw) or ()) if asked is None else asked
    asked = genai.tool_requests(span, found)
    if asked or "flat_output" not in found:
        return asked
    return requests.in_flat(span.attributes, "gen_ai.completion.")


def _listed(text: str) -> tuple[ToolRequest, ...] | None:
    """The calls of an OpenAI answer in Python's repr; `None` for all that looks different.

    Parsing the whole takes 45 µs.
    """
    after = text.partition(LISTED)[2]
    if not after or LISTED in after or "function_calls" in text or PARTS.search(text):
        return None
    found: dict[str, ToolRequest] = {}
    at = 0
    while (matched := CALL.match(after, at)) is not None:
        call_id, given = matched["id"], matched["given"]
        name = matched["name"] or matched["name_first"]
        given = matched["given_last"] if given is None else given
        if not call_id or not name or call_id in found:
            return None
        if "\\" in given:
            try:
                given = ast.literal_eval(f"'{given}'")
            except (ValueError, SyntaxError):
                return None
        digest = arguments.digest(given)
        found[call_id] = ToolRequest(name=name, call_id=call_id, arguments_digest=digest)
        if matched["next"] == "]":
            return tuple(found.values())
        at = matched.end()
    return None


def told(span: SpanView, step: Step) -> Sequence[Told]:
    """Tool calls whose results this request brings: from the convention's messages, which only a
    span without parent hands over, else from the raw request.  Of a span of the application that
    failed with a call: that call, which has no span."""
    if span.scope != SCOPE:
        return _failed_call(span, step)
    if step.kind is not kinds.MODEL:
        return ()
    sent = span.text(messages.INPUT_MESSAGES)
    if sent:
        return answered(sent)
    for key, value in span.attributes.items():
        if RAW_INPUT.fullmatch(key):
            return answered(_tail(value)) if isinstance(value, str) else ()
    return ()


def _failed_call(span: SpanView, step: Step) -> Sequence[Told]:
    if (
        not step.failed
        or REQUEST_TYPE not in span.attributes
        or "error.type" not in span.attributes
    ):
        return ()
    model = span.text("gen_ai.request.model")
    return (Told(kind=kinds.MODEL, model=model, result=step.error_message, failed=True),)


def _tail(text: str) -> str:
    """Messages from the last answer on, in JSON; the repr of a long history costs too much."""
    at = text.rfind(ANSWER)
    if at < 0 or len(text) - at > TAIL_CHARS_MAX:
        return text
    return as_text(arguments.parse("[" + text[at:]))


def _messages(raw: Any) -> list[messages.Message] | None:
    """The answer in a raw response: choices, candidates, or the content of one message."""
    value = arguments.parse(raw) if isinstance(raw, str) else raw
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        if "content" in value[0] and "finishReason" in value[0]:  # Gemini
            value = [candidate.get("content") for candidate in value]
        elif "message" not in value[0] and "role" not in value[0]:
            value = [{"role": "assistant", "content": value}]
    return messages.parse(value)


def content(span: SpanView, kind: Kind, logs: Sequence[Event]) -> Mapping[str, Any]:
    out = dict(genai.content(span, kind, logs))
    for key, value in span.attributes.items():
        if not key.startswith("llm."):
            continue
        name = key.rpartition(".")[2]
        if name == "tools":
            out.setdefault("tools_offered", value)
        elif name in ("messages", "contents"):
            out.setdefault("messages_in", messages.parse(value))
        elif name in ("choices", "candidates", "content", "output"):
            out.setdefault("messages_out", _messages(value))
        elif name == "system":
            out.setdefault("system_instructions", value)
    said = messages.parse(span.get(messages.OUTPUT_MESSAGES))
    if said:
        # It has the text; what was asked for is in flattened keys.
        asked = [
            call for one in out.get("messages_out") or () for call in one.get("tool_calls", ())
        ]
        if asked and not any("tool_calls" in one for one in said):
            messages.with_calls(said[0], asked)
        out["messages_out"] = said
    return {field: value for field, value in out.items() if value}
