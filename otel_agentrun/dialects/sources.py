"""Where messages are besides JSON attributes: flattened attributes, span events, log records.

Sources: OpenInference `llm.input_messages.N.message.*` (spec/semantic_conventions.md), OpenLLMetry
and older conventions `gen_ai.prompt.N.*`; GenAI message events, as span events (Strands) or logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import messages
from otel_agentrun.step import Event, SpanEvent, as_text

FLAT: Final = re.compile(r"(\d+)\.(?:message\.)?(.+)")
FLAT_CALL: Final = re.compile(
    r"tool_calls\.(\d+)\.(?:tool_call\.)?(?:function\.)?(id|name|arguments)"
)
FUNCTION_CALL: Final = re.compile(r"function_call\.(name|arguments)")
"""One requested call per message (LiteLLM, early OpenLLMetry)."""
FLAT_PART: Final = re.compile(r"contents\.(\d+)\.message_content\.(?:text|content)")


def from_flat(attributes: Mapping[str, Any], prefix: str) -> list[messages.Message] | None:
    """Messages spread over attributes that start with `prefix`, in their order."""
    by_index: dict[int, messages.Message] = {}
    calls: dict[int, dict[int, dict[str, Any]]] = {}
    parts: dict[int, dict[int, str]] = {}
    for key, value in attributes.items():
        if not key.startswith(prefix) or value is None:
            continue
        matched = FLAT.fullmatch(key, len(prefix))
        if matched is None:
            continue
        index, field = int(matched.group(1)), matched.group(2)
        one = by_index.setdefault(index, {"role": ""})
        if call := FLAT_CALL.fullmatch(field):
            slot = calls.setdefault(index, {}).setdefault(int(call.group(1)), {})
            slot[call.group(2)] = value
        elif call := FUNCTION_CALL.fullmatch(field):
            calls.setdefault(index, {}).setdefault(0, {})[call.group(1)] = value
        elif part := FLAT_PART.fullmatch(field):
            parts.setdefault(index, {})[int(part.group(1))] = as_text(value)
        elif field in ("role", "content", "name", "tool_call_id", "finish_reason"):
            one[field] = as_text(value)
    for index, texts in parts.items():
        by_index[index].setdefault("content", "\n".join(texts[at] for at in sorted(texts)))
    for index, slots in calls.items():
        messages.with_calls(by_index[index], [slots[at] for at in sorted(slots)])
    for one in by_index.values():
        one["role"] = messages.ROLES.get(one["role"], one["role"]) or "user"
    return [by_index[index] for index in sorted(by_index)] or None


def call_of(key: str, prefix: str) -> tuple[int, int, str] | None:
    """(message, call, `id`, `name` or `arguments`) that a flattened key states, or `None`."""
    matched = FLAT.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
    if matched is None:
        return None
    if call := FLAT_CALL.fullmatch(matched.group(2)):
        return (int(matched.group(1)), int(call.group(1)), call.group(2))
    if call := FUNCTION_CALL.fullmatch(matched.group(2)):
        return (int(matched.group(1)), 0, call.group(1))
    return None


class Exchange:
    """Messages of one span, in and out, with the system instructions apart."""

    __slots__ = ("messages_in", "messages_out", "system")

    def __init__(self) -> None:
        self.messages_in: list[messages.Message] = []
        self.messages_out: list[messages.Message] = []
        self.system: list[str] = []

    def add(self, name: str, attributes: Mapping[str, Any], body: Any = None) -> None:
        """One span event (`attributes`) or log record (`body`) of the GenAI events."""
        if name == messages.DETAILS:
            self.messages_in = (
                messages.parse(attributes.get(messages.INPUT_MESSAGES)) or self.messages_in
            )
            self.messages_out = (
                messages.parse(attributes.get(messages.OUTPUT_MESSAGES)) or self.messages_out
            )
            system = messages.text_of(attributes.get(messages.SYSTEM_INSTRUCTIONS))
            if system:
                self.system = [system]
            return
        role = messages.EVENT_ROLES.get(name)
        if role is None:
            return
        source: Mapping[str, Any] = attributes
        if body not in (None, "", {}):
            parsed = arguments.parse(body) if isinstance(body, str) else body
            source = parsed if isinstance(parsed, Mapping) else {"content": parsed}
        content = source.get("content", source.get("message"))
        if isinstance(content, Mapping):
            one = messages.build(
                content.get("role") or role, content.get("content", content.get("parts")), content
            )
        else:
            one = messages.build(
                role, content, {k: v for k, v in source.items() if k not in ("name", "role")}
            )
        if source.get("finish_reason"):
            one["finish_reason"] = messages.finish_reason(str(source["finish_reason"]))
        if name == messages.CHOICE:
            self.messages_out.append(one)
        else:
            self.messages_in.append(one)
            if role == "system" and one.get("content"):
                self.system.append(one["content"])


def from_events(events: Iterable[SpanEvent]) -> Exchange:
    exchange = Exchange()
    for event in events:
        exchange.add(event.name, event.attributes)
    return exchange


def from_logs(logs: Iterable[Event]) -> Exchange:
    """Log records of one span; order is time, then the emitter's own index where it gives one."""

    def order(event: Event) -> tuple[int, int]:
        index = event.attributes.get("CHAT_MESSAGE_INDEX", "")
        return (int(index) if index.isdecimal() else 0, event.at_ns)

    exchange = Exchange()
    for event in sorted(logs, key=order):
        exchange.add(
            event.name or event.attributes.get("event.name", ""), event.attributes, event.body
        )
    return exchange
