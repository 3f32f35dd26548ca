"""Chat messages in one shape, whatever shape they were sent in.

A normalized message is a dict with `role` and, where there is something to say, `content` (text),
`tool_calls` ([{`id`, `name`, `arguments`}]), `tool_call_id`, `name`, `reasoning`, `finish_reason`.

Shapes read: GenAI parts (semantic-conventions-genai, docs/gen-ai/gen-ai-input-messages.json),
OpenAI chat completions and Responses items, Anthropic blocks, Bedrock Converse (Strands), Gemini
parts, LangChain serializations and the Vercel AI SDK's parts.  Where messages are found is
`sources.py`'s matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.step import ToolRequest, as_text

Message = dict[str, Any]
# Below `dict` is asked for, not `Mapping`: values come from JSON; that test is ten times faster.

ROLES: Final[Mapping[str, str]] = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "AIMessageChunk": "assistant",
    "developer": "system",
    "function": "tool",
}
LANGCHAIN_ROLES: Final[Mapping[str, str]] = {
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "SystemMessage": "system",
    "ToolMessage": "tool",
}
LANGCHAIN_TYPES: Final = frozenset({"human", "ai", "AIMessageChunk", "system", "tool"})
"""Types of LangChain's messages as plain objects (`message_to_dict` without its wrapper)."""
EVENT_ROLES: Final[Mapping[str, str]] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
CHOICE: Final = "gen_ai.choice"
DETAILS: Final = "gen_ai.client.inference.operation.details"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"

FINISH: Final[Mapping[str, str]] = {
    "tool_calls": "tool_call",
    "tool-calls": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "content-filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
}


@lru_cache(maxsize=1024)
def finish_reason(text: str) -> str:
    """The convention's spelling: `stop, length, content_filter, tool_call, compaction, error`."""
    reason = text.rpartition(".")[2].lower()
    return FINISH.get(reason, reason)


@lru_cache(maxsize=1024)
def finish_reasons(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(finish_reason(text) for text in texts)


def parse(value: Any) -> list[Message] | None:
    """Messages in `value` (text or structure); `None` when it holds none that can be recognized."""
    if isinstance(value, str):
        value = arguments.parse(value)
    if isinstance(value, dict):
        for key in ("messages", "input", "contents", "candidates", "generations"):
            inner = value.get(key)
            if isinstance(inner, list | tuple):
                return parse(inner)
        value = [value]
    if not isinstance(value, list | tuple):
        return None
    if len(value) == 1 and isinstance(value[0], list | tuple) and not _is_pair(value[0]):
        return parse(value[0])  # LangChain batches: one list per prompt
    found = [one for one in (message(item) for item in value) if one is not None]
    return found or None


def _is_pair(value: Sequence[Any]) -> bool:
    return len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)


def message(item: Any) -> Message | None:
    """One message, or `None` when `item` is none."""
    if isinstance(item, list | tuple):
        return build(item[0], item[1]) if _is_pair(item) else None
    if not isinstance(item, dict):
        return None
    kind = item.get("type")
    if item.get("lc") == 1 and isinstance(item.get("kwargs"), dict):
        name = item.get("id")
        named = LANGCHAIN_ROLES.get(str(name[-1]), "") if isinstance(name, list) and name else ""
        kwargs = item["kwargs"]
        return build(named or kwargs.get("type"), kwargs.get("content"), kwargs)
    if isinstance(item.get("data"), dict) and isinstance(kind, str):
        return build(kind, item["data"].get("content"), item["data"])
    if isinstance(item.get("message"), dict):  # a choice, or a LangChain generation
        return message({**item["message"], **_only(item, "finish_reason")})
    if kind == "function_call":
        return with_calls({"role": "assistant"}, [item])
    if kind == "function_call_output":
        return build("tool", item.get("output"), {"tool_call_id": item.get("call_id")})
    role = item.get("role")
    if role is None and isinstance(item.get("event.name"), str):
        role = EVENT_ROLES.get(item["event.name"])
    if role is None and not ({"content", "parts", "tool_calls"} & item.keys()):
        return None
    if role is None and kind in LANGCHAIN_TYPES:
        role = kind
    content = item["parts"] if "parts" in item else item.get("content")
    if isinstance(content, dict) and "parts" in content:  # a candidate of Gemini's, an ADK response
        return message({**content, **_only(item, "finish_reason")})
    return build(role, content, item)


def _only(item: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: item[key]} if item.get(key) else {}


def build(role: Any, content: Any, rest: Mapping[str, Any] | None = None) -> Message:
    rest = rest or {}
    text = str(role or "")
    out: Message = {"role": ROLES.get(text, text) or "user"}
    calls: list[Any] = []
    texts: list[str] = []
    _collect(content, texts, calls, out)
    if texts:
        out["content"] = "\n".join(texts)
    for key in ("tool_calls", "function_calls"):
        listed = rest.get(key)
        if isinstance(listed, list | tuple):
            calls.extend(listed)
    call_id = rest.get("tool_call_id") or (rest.get("id") if out["role"] == "tool" else None)
    if call_id:
        out["tool_call_id"] = str(call_id)
    if rest.get("name"):
        out["name"] = str(rest["name"])
    if rest.get("finish_reason"):
        out["finish_reason"] = finish_reason(str(rest["finish_reason"]))
    return with_calls(out, calls)


def with_calls(out: Message, calls: Iterable[Any]) -> Message:
    found = [call for call in (_call(item) for item in calls) if call is not None]
    if found:
        unique = {(call.get("id") or index): call for index, call in enumerate(found)}
        out["tool_calls"] = list(unique.values())
    return out


def _call(item: Any) -> dict[str, Any] | None:
    """A requested tool call: {`id`, `name`, `arguments`}."""
    if not isinstance(item, dict):
        return None
    inner = item.get("function")
    source = inner if isinstance(inner, dict) else item
    name = source.get("name") or source.get("toolName")
    if not isinstance(name, str) or not name:
        return None
    given: Any = None
    for key in ("arguments", "args", "input"):
        if source.get(key) is not None:
            given = source[key]
            break
    call_id = item.get("id") if item.get("type") != "function_call" else None
    call_id = call_id or item.get("call_id") or item.get("toolUseId") or item.get("toolCallId")
    return {"id": str(call_id or ""), "name": name, "arguments": given}


def _collect(content: Any, texts: list[str], calls: list[Any], out: Message) -> None:
    """Spread content (text or parts) over texts, requested calls and the answered call's id."""
    if content is None or content == "":
        return
    if isinstance(content, str):
        if content[0] in "[{":
            parsed = arguments.parse(content)
            if isinstance(parsed, list) and parsed and all(_is_part(part) for part in parsed):
                _collect(parsed, texts, calls, out)
                return
        texts.append(content)
        return
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list | tuple):
        texts.append(as_text(content))
        return
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            _collect_part(part, texts, calls, out)


PART_KEYS: Final = frozenset(
    {"type", "text", "toolUse", "toolResult", "functionCall", "function_call"}
)


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and not PART_KEYS.isdisjoint(part)


def _collect_part(
    part: Mapping[str, Any], texts: list[str], calls: list[Any], out: Message
) -> None:
    kind = part.get("type")
    for key in ("toolUse", "functionCall", "function_call"):
        if isinstance(part.get(key), dict):
            calls.append(part[key])
            return
    response = (
        part.get("toolResult") or part.get("functionResponse") or part.get("function_response")
    )
    if isinstance(response, dict):
        out["role"] = "tool"
        out["tool_call_id"] = str(response.get("toolUseId") or response.get("id") or "")
        result = response.get("content") or response.get("response")
        _collect_result(result, texts, calls, out)
        return
    if kind in ("tool_call", "tool-call", "tool_use", "server_tool_call"):
        calls.append(part)
    elif kind in ("tool_call_response", "tool_result", "server_tool_call_response"):
        out["role"] = "tool"
        out["tool_call_id"] = str(part.get("id") or part.get("tool_use_id") or "")
        for key in ("response", "result", "content"):
            if part.get(key) is not None:
                _collect_result(part[key], texts, calls, out)
                return
    elif kind == "tool-result":  # Vercel AI SDK: `result`, later `output` with a `value`
        out["role"] = "tool"
        out["tool_call_id"] = str(part.get("toolCallId") or "")
        result = part.get("output", part.get("result"))
        if isinstance(result, dict) and "value" in result and "type" in result:
            result = result["value"]
        _collect_result(result, texts, calls, out)
    elif kind in ("reasoning", "thinking"):
        reasoning = part.get("content") or part.get("thinking")
        if reasoning:
            out["reasoning"] = as_text(reasoning)
    else:
        text = part.get("text") if part.get("text") is not None else part.get("content")
        if isinstance(text, str):
            texts.append(text)
        elif isinstance(text, dict | list):
            _collect(text, texts, calls, out)


def _collect_result(result: Any, texts: list[str], calls: list[Any], out: Message) -> None:
    """A tool's result: text, parts with text, or a structure that is its own."""
    before = len(texts)
    _collect(result, texts, calls, out)
    if len(texts) == before and result:
        texts.append(as_text(result))


# What is asked of messages.


def tool_requests(messages: Iterable[Message]) -> tuple[ToolRequest, ...]:
    """Calls asked for.  Of several with one id the last counts, in the place of the first: a
    streamed answer may come in pieces before the whole (Google ADK)."""
    calls = [call for one in messages for call in one.get("tool_calls", ())]
    if len(calls) > 1:
        calls = list({call["id"] or at: call for at, call in enumerate(calls)}.values())
    return tuple(
        ToolRequest(
            name=call["name"],
            call_id=call["id"],
            arguments_digest=arguments.digest(call["arguments"]),
        )
        for call in calls
    )


def text_of(value: Any) -> str | None:
    """Plain text of instructions or of a result that may come as parts."""
    if value is None or value == "":
        return None
    texts: list[str] = []
    _collect(arguments.parse(value) if isinstance(value, str) else value, texts, [], {})
    return "\n".join(texts) or None


def answer(messages: Sequence[Message] | None) -> str | None:
    """Text of the last assistant message that has any."""
    for one in reversed(messages or ()):
        if one["role"] == "assistant" and one.get("content"):
            return str(one["content"])
    return None


def prompt(messages: Sequence[Message] | None) -> str | None:
    """Text of the last user or tool message: what a model call was asked."""
    for one in reversed(messages or ()):
        if one["role"] in ("user", "tool") and one.get("content"):
            return str(one["content"])
    return None


def task(messages: Sequence[Message] | None) -> str | None:
    """The user's task: the first user text after the last finished turn before it.

    A history of several turns holds earlier questions and their answers; a user message that
    follows an answer without tool calls begins a new turn.
    """
    found: str | None = None
    answered = False
    for one in messages or ():
        if one["role"] == "assistant":
            answered = not one.get("tool_calls")
        elif one["role"] == "user" and one.get("content") and (found is None or answered):
            found = str(one["content"])
            answered = False
    return found
