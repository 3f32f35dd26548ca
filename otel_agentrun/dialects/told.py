"""Calls that a span tells of and that may have no span of their own.

Client libraries see no tools, but the next request brings a tool's result; a framework without
model spans returns what was said.  Such calls become steps with the role `told`: a run counts them
when it has no span of that kind (collector/runs/trace.py).  Their ids are functions of what is
told, so that the same call, told twice, is one step.

Shapes of results: OpenAI `role: tool` and Responses `function_call_output`, Anthropic
`tool_result`, Gemini `functionResponse`, Bedrock `toolResult`, GenAI `tool_call_response`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from otel_agentrun import arguments as tool_arguments
from otel_agentrun.dialects import kinds, messages
from otel_agentrun.dialects.handoffs import is_handoff, target
from otel_agentrun.dialects.status import first_line
from otel_agentrun.plain_json import SCAN
from otel_agentrun.sketch import sketch
from otel_agentrun.step import Kind, Step, ToolRequest, Usage, as_text
from otel_agentrun.typed_errors import typed_error

VERSION_MAX: Final = 1 << 63
LOGGED_MAX: Final = 1 << 62
"""The same for calls that log records tell of: a span that tells of one is believed."""
SPANS_MAX: Final = LOGGED_MAX >> 1
"""Above the versions of spans, nanoseconds of when they came, until 2043."""
CHARS_MAX: Final = 1 << 16
"""A request whose last assistant message cannot be found is read whole up to this length."""
RESULT_MARKS: Final = (
    '"tool_result"', '"role": "tool"', '"role":"tool"', '"function_call_output"',
    '"functionResponse"', '"function_response"', '"toolResult"', '"tool_call_response"',
)  # fmt: skip
ASSISTANT: Final = re.compile(r'\{\s*"role":\s*"assistant"')
NEXT: Final = re.compile(r"\s*,\s*")
ERROR: Final = re.compile(r"\W*(?:[\w.]*(?:error|exception|failed|failure)\b|traceback )", re.I)
"""How a result begins that tells of an error, where no field does."""
RESULT_PARTS: Final = ("tool_result", "tool_call_response", "function_call_output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One call as somebody else tells of it."""

    kind: Kind
    name: str = ""
    call_id: str = ""
    arguments: Any = None
    result: Any = None
    failed: bool = False
    usage: Usage | None = None
    model: str = ""
    finish_reasons: tuple[str, ...] = ()
    tool_requests: tuple[ToolRequest, ...] = ()
    call_of_teller: bool = False
    """The tool call that started the teller, an agent: nothing else shows it, so it counts."""


def steps(teller: Step, calls: Sequence[Told]) -> tuple[Step, ...]:
    """Steps of what `teller` tells, in its order.

    When a call began is not known: what a model was given lies right before the model call, what
    an agent tells right after the agent's start.
    """
    if not calls:
        return ()
    is_model = teller.kind is kinds.MODEL
    first_ns = teller.start_ns - len(calls) if is_model else teller.start_ns + 1
    return tuple(
        _step(teller, call, index, first_ns + index, is_model) for index, call in enumerate(calls)
    )


def _step(teller: Step, call: Told, index: int, at_ns: int, is_model: bool) -> Step:
    mark = call.call_id or f"{teller.span_id}/{index}"
    digest = blake2b(f"{teller.trace_id}/{call.kind}/{mark}".encode(), digest_size=8)
    result = None if call.result is None else as_text(call.result)
    message = first_line(result or "") if call.failed else ""
    is_tool = call.kind is kinds.TOOL
    role = kinds.TOLD
    if call.call_of_teller:
        role, at_ns, is_model = kinds.HANDOFF, teller.start_ns, True
    return Step(
        trace_id=teller.trace_id,
        span_id=digest.hexdigest(),
        parent_span_id=(teller.parent_span_id if is_model else "") or teller.span_id,
        # Of several that tell of one call, the first: a history is repeated in every request.
        version=max(VERSION_MAX - at_ns, 0),
        kind=call.kind,
        role=role,
        dialect=teller.dialect,
        scope=teller.scope,
        name=call.name or call.kind.value,
        start_ns=at_ns,
        end_ns=teller.end_ns if call.call_of_teller else at_ns,
        status=kinds.ERROR if call.failed else kinds.SUCCESS,
        error_type=(typed_error("", message, None) or "tool_error") if call.failed else "",
        error_message=message,
        run_id=teller.run_id,
        agent_name="" if is_model else teller.agent_name,
        model=call.model,
        provider=teller.provider if is_model else "",
        usage=call.usage,
        finish_reasons=call.finish_reasons,
        tool_requests=call.tool_requests,
        tool_name=call.name if is_tool else "",
        tool_call_id=call.call_id,
        arguments_digest=tool_arguments.digest(call.arguments) if is_tool else "",
        arguments_sketch=sketch(call.arguments) if is_tool else "",
        result_digest=tool_arguments.result_digest(call.result) if is_tool else "",
        input_bytes=_size(call.arguments),
        output_bytes=_size(call.result),
        handoff_to=_handoff_to(call),
        labels=teller.labels,
    )


def logged(teller: Step, call: Told, before: int) -> Step:
    """A tool call that a log record of `teller`, a model call, tells of; `before`: its place before
    that call, 1 is the last."""
    at_ns = teller.start_ns - before
    return replace(
        _step(teller, call, before, at_ns, is_model=True), version=max(LOGGED_MAX - at_ns, 0)
    )


def is_logged(step: Step) -> bool:
    """A span that tells of a call itself (AutoGen) has the time it came as its version."""
    return step.role is kinds.TOLD and SPANS_MAX < step.version <= LOGGED_MAX


def _handoff_to(call: Told) -> str:
    if call.call_of_teller:
        return call.name
    return target(call.name, call.arguments) if is_handoff(call.name) else ""


def _size(value: Any) -> int:
    return 0 if value is None else len(as_text(value).encode("utf-8", "surrogatepass"))


def answered(request: str) -> list[Told]:
    """The tool calls whose results a model request brings: those after its last answer.

    `request` is the request as JSON (an object with messages, or the messages).
    """
    if not any(mark in request for mark in RESULT_MARKS):
        return []
    tail = _tail(request)
    calls = {
        call["id"]: call
        for one in tail
        if (parsed := messages.message(one)) is not None
        for call in parsed.get("tool_calls", ())
    }
    found = []
    for item in tail:
        for call_id, name, result, failed in results(item):
            asked = calls.get(call_id, {})
            found.append(
                Told(
                    kind=kinds.TOOL,
                    name=asked.get("name") or name,
                    call_id=call_id,
                    arguments=asked.get("arguments"),
                    result=result,
                    failed=failed,
                )
            )
    return [call for call in found if call.name]


def _tail(request: str) -> list[Any]:
    """The messages from the last one of the assistant on, without reading the others."""
    begins = [matched.start() for matched in ASSISTANT.finditer(request)]
    if begins:
        try:
            return list(_values(request, begins[-1]))
        except (ValueError, StopIteration, RecursionError):
            return []
    if len(request) > CHARS_MAX:
        return []
    value = tool_arguments.parse(request)
    if isinstance(value, Mapping):
        value = next(
            (value[key] for key in ("messages", "input", "contents") if key in value), None
        )
    if not isinstance(value, list):
        return []
    last = max((at for at, one in enumerate(value) if _is_answer(one)), default=0)
    while last > 0 and _is_answer(value[last - 1]):  # Responses: one item per call
        last -= 1
    return value[last:]


def _values(text: str, at: int) -> Iterator[Any]:
    """The JSON values that follow each other in a list, from `at` on."""
    while True:
        value, at = SCAN(text, at)
        yield value
        following = NEXT.match(text, at)
        if following is None:
            return
        at = following.end()


def _is_answer(item: Any) -> bool:
    return isinstance(item, Mapping) and (
        item.get("role") in ("assistant", "model") or item.get("type") == "function_call"
    )


def results(item: Any) -> Iterator[tuple[str, str, Any, bool]]:
    """(call id, tool name, result, failed) of the results in one message."""
    if not isinstance(item, Mapping):
        return
    if item.get("role") == "tool" and item.get("tool_call_id"):
        result = _plain(item.get("content", item.get("parts")))
        failed = item.get("status") == "error" or _tells_error(result)
        yield str(item["tool_call_id"]), str(item.get("name") or ""), result, failed
        return
    if item.get("type") == "function_call_output":
        result = item.get("output")
        yield str(item.get("call_id") or ""), "", result, _tells_error(result)
        return
    parts = item.get("parts", item.get("content"))
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, Mapping):
            continue
        if part.get("type") in RESULT_PARTS:
            result = next(
                (part[key] for key in ("content", "response", "result") if key in part), None
            )
            stated = part.get("is_error")
            failed = stated if isinstance(stated, bool) else _tells_error(result)
            yield str(part.get("tool_use_id") or part.get("id") or ""), "", result, failed
            continue
        inner = next(
            (
                part[key]
                for key in ("toolResult", "functionResponse", "function_response")
                if isinstance(part.get(key), Mapping)
            ),
            None,
        )
        if inner is not None:
            result = inner.get("content", inner.get("response"))
            failed = inner.get("status") == "error" or _tells_error(result)
            call_id = str(inner.get("toolUseId") or inner.get("id") or "")
            yield call_id, str(inner.get("name") or ""), result, failed


def _plain(result: Any) -> Any:
    """A text in parts as the text that it is: of two spans that tell of a call, one has it so."""
    if not isinstance(result, list):
        return result
    texts = [
        part.get("text", part.get("content"))
        for part in result
        if isinstance(part, Mapping) and part.get("type") == "text"
    ]
    if len(texts) < len(result) or not all(isinstance(text, str) for text in texts):
        return result
    return "".join(texts)


def _tells_error(result: Any) -> bool:
    text = messages.text_of(result)
    return bool(text) and ERROR.match(text or "") is not None
