"""Haystack: pipelines and agents as chains, no tool spans, messages as Python's repr.

Source: Arize-ai/openinference, openinference-instrumentation-haystack 0.1.46 with haystack-ai 3.4;
captures tests/captures/haystack and haystack-agents.  The model spans inside the first agents of a
process are missing where the class of their generator was not patched yet: the agents' messages
tell of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_agentrun import arguments
from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.messages import finish_reason
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.dialects.told import Told
from otel_agentrun.step import Kind, Role, SpanView, Step, ToolRequest, Usage

SCOPES: Final = ("openinference.instrumentation.haystack",)
CHECKED: Final = "openinference-instrumentation-haystack 0.1.46, haystack-ai 3.4.0"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "when a tool ran: there are no tool spans, only the agent's messages",
    "what an agent did that ended by an exception before its model spans were patched",
    "agents that run outside of a pipeline, before any pipeline ran one",
    "the name of an agent",
)

CACHED: Final = re.compile(r"'cached_tokens': (\d+)")
REASONING: Final = re.compile(r"'reasoning_tokens': (\d+)")
PROMPT: Final = re.compile(r"['\"]prompt_tokens['\"]: (\d+)")
"""Of an answer in its repr, of an embedding in JSON."""
COMPLETION: Final = re.compile(r"'completion_tokens': (\d+)")
MODEL: Final = re.compile(r"'model': '([^']{1,200})'")
FINISH: Final = re.compile(r"'finish_reason': '([^']{1,40})'")
RUNS: Final = ("Pipeline.run", "Pipeline.run_async")
AGENTS: Final = ("Agent.run", "Agent.run_async")
MESSAGE: Final = "ChatMessage("
USER: Final = f"{MESSAGE}_role=<ChatRole.USER"
ASSISTANT: Final = f"{MESSAGE}_role=<ChatRole.ASSISTANT"
TOOL: Final = f"{MESSAGE}_role=<ChatRole.TOOL"
META: Final = ", _meta="
CALL: Final = re.compile(
    r"ToolCall\(tool_name=(?P<name>'[^']+'|\"[^\"]+\"), arguments=(?P<arguments>\{.*?\}),"
    r" id=(?P<id>None|'[^']*')",
    re.DOTALL,
)
RESULT: Final = re.compile(
    r"ToolCallResult\(result=(?P<result>.*?), origin="
    + CALL.pattern
    + r".*?\), error=(?P<e>\w+)\)",
    re.DOTALL,
)
TEXT: Final = re.compile(r"TextContent\(text=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)", re.DOTALL)


def kind(span: SpanView, stated: str) -> Kind | None:
    return kinds.RUN if stated == "CHAIN" and span.name.endswith((*RUNS, *AGENTS)) else None


def role(span: SpanView, kind: Kind) -> Role | None:
    if kind is kinds.RUN:
        return kinds.AGENT if span.name.endswith(AGENTS) else kinds.WORKFLOW
    return None


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.MODEL:
        sent = found.get("output")
        if isinstance(sent, str):
            _add_details(sent, found)


def _add_details(text: str, found: dict[str, Any]) -> None:
    """What the answer's own metadata say beside the attributes."""
    for field, pattern in (
        ("input_tokens", PROMPT),
        ("cache_read_tokens", CACHED),
        ("reasoning_tokens", REASONING),
    ):
        if field not in found and (matched := pattern.search(text)):
            found[field] = int(matched.group(1))
    if "finish_reasons" not in found and (matched := FINISH.search(text)):
        found["finish_reasons"] = (matched.group(1),)


def told(span: SpanView, step: Step) -> list[Told]:
    """The model and tool calls of an agent, from the messages it returned and was not given;
    the tool calls whose results a model was given since its last answer."""
    if step.kind is kinds.MODEL:
        return [found for text in _last_results(span) for found in _calls(text)]
    if not span.name.endswith(AGENTS):
        return []
    return [found for text in _new_messages(span) for found in _calls(text)]


def _last_results(span: SpanView) -> list[str]:
    given = span.text("input.value")
    if TOOL not in given:
        return []
    messages = _messages(given)
    last = max((at for at, one in enumerate(messages) if one.startswith(ASSISTANT)), default=0)
    return [one for one in messages[last:] if one.startswith(TOOL)]


def _new_messages(span: SpanView) -> list[str]:
    sent, given = (_messages(span.text(key)) for key in ("output.value", "input.value"))
    if given and given[-1] in sent:
        return sent[sent.index(given[-1]) + 1 :]
    return sent


def _messages(text: str) -> list[str]:
    value = arguments.parse(text) if text else None
    listed = value.get("messages") if isinstance(value, Mapping) else None
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _calls(text: str) -> list[Told]:
    if text.startswith(ASSISTANT):
        meta = text[text.rfind(META) :]
        counts = {
            field: int(matched.group(1))
            for field, pattern in (
                ("input_tokens", PROMPT),
                ("output_tokens", COMPLETION),
                ("cache_read_tokens", CACHED),
                ("reasoning_tokens", REASONING),
            )
            if (matched := pattern.search(meta))
        }
        model, reason = MODEL.search(meta), FINISH.search(meta)
        return [
            Told(
                kind=kinds.MODEL,
                usage=Usage(**counts) if counts else None,
                model=model.group(1) if model else "",
                finish_reasons=(finish_reason(reason.group(1)),) if reason else (),
                tool_requests=tuple(
                    ToolRequest(
                        name=asked["name"][1:-1],
                        call_id=_call_id(asked),
                        arguments_digest=arguments.digest(asked["arguments"]),
                    )
                    for asked in CALL.finditer(text)
                ),
            )
        ]
    if text.startswith(TOOL):
        return [
            Told(
                kind=kinds.TOOL,
                name=matched["name"][1:-1],
                call_id=_call_id(matched),
                arguments=matched["arguments"],
                result=arguments.parse(matched["result"]),
                failed=matched["e"] == "True",
            )
            for matched in RESULT.finditer(text)
        ]
    return []


def _call_id(matched: re.Match[str]) -> str:
    return "" if matched["id"] == "None" else matched["id"].strip("'")


def content(span: SpanView, kind: Kind) -> Mapping[str, Any]:
    """The texts inside the printed messages: the last question, the last answer."""
    if kind is not kinds.RUN:
        return {}
    out: dict[str, Any] = {}
    for field, key, role_, mark in (
        ("messages_in", "input.value", "user", USER),
        ("messages_out", "output.value", "assistant", ASSISTANT),
    ):
        printed = [text for text in _printed(span.text(key)) if text.startswith(MESSAGE)]
        said = [text for text in printed if text.startswith(mark)]
        texts = [arguments.parse(text) for one in said for text in TEXT.findall(one)]
        if texts:
            out[field] = [{"role": role_, "content": texts[-1]}]
        elif printed:  # the limit of steps ended it
            out[key.partition(".")[0]] = None
    return out


def _printed(text: str) -> list[str]:
    """The texts in a call of `run`, without the JSON around them."""
    value = arguments.parse(text) if text else None
    found: list[str] = []
    todo = [value]
    while todo:
        one = todo.pop(0)
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, Mapping):
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return found
