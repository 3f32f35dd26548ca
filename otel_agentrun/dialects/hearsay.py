"""Tool calls that log records tell of: an application without spans for its tools still gives their
results to the next model call, and an instrumentation may log that call's messages.

With every call the whole history is logged again.  What is new in it lies behind the last message
of the assistant: only that is read, so that a result is told of by one call, whatever trace the
others are in.

Source: semantic-conventions v1.28-v1.36, docs/gen-ai/gen-ai-events.md (one record per message);
semantic-conventions-genai, model/gen-ai/events.yaml (one record per call).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from otel_agentrun import arguments
from otel_agentrun.dialects import kinds, messages
from otel_agentrun.dialects.told import Told, answered, results
from otel_agentrun.step import Event

ASSISTANT: Final = "gen_ai.assistant.message"
TOOL: Final = "gen_ai.tool.message"
MESSAGES: Final = frozenset({ASSISTANT, TOOL})
"""Records of one message each."""
NAMES: Final = frozenset({*MESSAGES, messages.DETAILS})

A = TypeVar("A")
R = TypeVar("R")


class Said(NamedTuple, Generic[A, R]):
    """What one log record says of tool calls, by call id."""

    at_ns: int
    event_id: str
    asked: Mapping[str, A] | None
    """What an assistant's message asked for, in its order; `None` for a record of another kind."""
    answers: Mapping[str, R]
    """Results."""


class Paired(NamedTuple, Generic[A, R]):
    """A call that was asked for and answered."""

    call_id: str
    before: int
    """Its place among the calls asked for together, counted from the last one: 1."""
    asked: A
    answer: R


def said(event: Event) -> Said[Told, Told] | None:
    """What a record with one of `NAMES` says; `None` for nothing.  Never raises."""
    try:
        return read(event)
    except Exception:  # a body is whatever its sender makes of it
        return Said(event.at_ns, event.event_id, {}, {}) if event.name == ASSISTANT else None


def read(event: Event) -> Said[Told, Told] | None:
    """`said` without its guard, which it should not need."""
    if event.name == messages.DETAILS:
        sent = event.attributes.get(messages.INPUT_MESSAGES)
        calls = {call.call_id: call for call in answered(sent) if call.call_id} if sent else {}
        return Said(event.at_ns, event.event_id, calls, calls) if calls else None
    body = arguments.parse(event.body)
    if not isinstance(body, dict):
        body = {"content": body}
    if event.name == TOOL:
        call_id = body.get("id") or body.get("tool_call_id")
        item = {**body, "role": "tool", "tool_call_id": call_id} if call_id else body
        answers = {
            call_id: Told(kind=kinds.TOOL, call_id=call_id, result=result, failed=failed)
            for call_id, _, result, failed in results(item)
            if call_id
        }
        return Said(event.at_ns, event.event_id, None, answers) if answers else None
    found = messages.build("assistant", body.get("content"), body)
    asked = {
        call["id"]: Told(
            kind=kinds.TOOL, name=call["name"], call_id=call["id"], arguments=call["arguments"]
        )
        for call in found.get("tool_calls", ())
        if call["id"]
    }
    return Said(event.at_ns, event.event_id, asked, {})


def paired(records: Collection[Said[A, R]]) -> list[Paired[A, R]]:
    """The calls of one model call's records that were answered right before it, as asked.

    Nothing where two messages of the assistant's have the time of the last one: which of them is
    history cannot be told then.
    """
    last_ns = max((one.at_ns for one in records if one.asked is not None), default=-1)
    latest = {
        one.event_id: one.asked for one in records if one.asked is not None and one.at_ns == last_ns
    }
    if len(latest) != 1:
        return []
    answers: dict[str, R] = {}
    for one in sorted(records, key=lambda one: (one.at_ns, one.event_id)):
        if one.at_ns >= last_ns:
            for call_id, answer in one.answers.items():
                answers.setdefault(call_id, answer)
    (asked,) = latest.values()
    return [
        Paired(call_id, len(asked) - index, call, answers[call_id])
        for index, (call_id, call) in enumerate(asked.items())
        if call_id in answers
    ]


def calls(logs: Iterable[Event]) -> list[tuple[int, Told]]:
    """(place before the model call, tool call with its content) from the records of its span."""
    read = [found for event in logs if event.name in NAMES and (found := said(event))]
    return [
        (
            one.before,
            Told(
                kind=kinds.TOOL,
                name=one.asked.name,
                call_id=one.call_id,
                arguments=one.asked.arguments,
                result=one.answer.result,
                failed=one.answer.failed,
            ),
        )
        for one in paired(read)
    ]
