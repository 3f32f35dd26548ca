"""smolagents: steps between an agent and its calls, and details only in the text of the answer.

Source: Arize-ai/openinference, openinference-instrumentation-smolagents 0.1.43 with smolagents
1.26; captures tests/captures/smolagents.  After an exception the agent's span never comes and its
context stays attached: the spans of later runs lie below it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.dialects.told import Told
from otel_agentrun.step import Kind, Role, SpanView, Step, as_text

SCOPES: Final = ("openinference.instrumentation.smolagents",)
CHECKED: Final = "openinference-instrumentation-smolagents 0.1.43, smolagents 1.26.0"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "cached and reasoning tokens of streamed calls and of models that are not OpenAI-compatible",
    "an agent that ended by an exception: its span never comes, and a manager's call of it is not "
    "seen",
    "tool call ids",
    "that the limit of steps was reached: one more call without tools follows",
)

# Patterns that begin with a text are searched for ten times faster: hence the looks back.
CACHED: Final = re.compile(r"cached_tokens(?<!\wcached_tokens)=(\d+)")
REASONING: Final = re.compile(r"reasoning_tokens(?<!\wreasoning_tokens)=(\d+)")
RESPONSE_ID: Final = re.compile(r"ChatCompletion(?<!\wChatCompletion)\(id='([^']{1,120})'")
STEP: Final = "Step "
MANAGED: Final = re.compile(
    r"submitted this task by your manager\.\s*---\s*Task:\s*(.*?)\s*---\s*You're helping", re.DOTALL
)
"""How the library's prompt for a managed agent begins (smolagents, prompts/*.yaml)."""
STREAMED: Final = re.compile(r"FinalAnswerStep\(output=(.*)\)$", re.DOTALL)
"""The events of a streamed run are printed one after the other; the last one has the answer."""


def role(span: SpanView, kind: Kind) -> Role | None:
    return kinds.NODE if kind is kinds.OTHER and span.name.startswith(STEP) else None


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    """The answer as the client library printed it holds what the attributes leave out."""
    if kind is not kinds.MODEL:
        return
    sent = found.get("output")
    if not isinstance(sent, str) or "ChatCompletion(" not in sent:
        return
    if matched := RESPONSE_ID.search(sent):
        found["response_id"] = matched.group(1)
    for field, pattern in (("cache_read_tokens", CACHED), ("reasoning_tokens", REASONING)):
        if field not in found and (matched := pattern.search(sent)):
            found[field] = int(matched.group(1))


def told(span: SpanView, step: Step) -> list[Told]:
    """The manager called its managed agent as a tool; only the agent has a span."""
    if step.kind is not kinds.RUN or not span.parent_span_id:
        return []
    matched = MANAGED.search(_task(span))
    if matched is None:
        return []
    return [
        Told(
            kind=kinds.TOOL,
            name=step.agent_name,
            arguments={"task": matched.group(1)},
            result=span.get("output.value"),
            failed=step.failed,
            call_of_teller=True,
        )
    ]


def _task(span: SpanView) -> str:
    """An agent's input is the call of `run` with all its parameters."""
    given = arguments.parse(span.text("input.value"))
    task = given.get("task") if isinstance(given, Mapping) else None
    return task if isinstance(task, str) else ""


def content(span: SpanView, kind: Kind) -> Mapping[str, Any]:
    """The task without the library's prompt around it; the last event of a streamed run."""
    if kind is not kinds.RUN:
        return {}
    out: dict[str, Any] = {}
    if task := _task(span):
        matched = MANAGED.search(task)
        out["messages_in"] = [{"role": "user", "content": matched[1] if matched else task}]
    if matched := STREAMED.search(span.text("output.value")):
        answer = arguments.parse(matched[1])
        out["messages_out"] = [{"role": "assistant", "content": as_text(answer)}]
    return out
