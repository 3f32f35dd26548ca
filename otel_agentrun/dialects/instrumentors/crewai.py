"""CrewAI: a crew is a workflow of agents; without a client instrumentor no span shows its model.

Source: Arize-ai/openinference, openinference-instrumentation-crewai 1.1.21 with crewai 1.15;
captures tests/captures/crewai, crewai-openai.  A crew's `token_usage` adds up over all crews that
share a model object, once per agent: it is this crew's only where it counts as many requests as the
tasks show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import arguments, plain_json
from otel_agentrun.dialects import kinds, messages
from otel_agentrun.dialects.tables import Found, Labels, as_count
from otel_agentrun.dialects.told import Told
from otel_agentrun.step import Kind, Role, SpanView, Step

SCOPES: Final = ("openinference.instrumentation.crewai",)
CHECKED: Final = "openinference-instrumentation-crewai 1.1.21, crewai 1.15.30"
CANNOT_TELL: Final[tuple[str, ...]] = (
    "model calls of their own, unless the client library is instrumented, too: they are counted "
    "from the messages of each task",
    "tokens, where several crews or agents share a model object and the client library is not "
    "instrumented",
    "model calls of a coworker that was delegated to, and those of a crew that failed",
    "tool call ids",
)

KICKOFF: Final = re.compile(r"(.*?)(?:_[0-9a-f]{8}-[0-9a-f-]{27})?\.a?kickoff\w*")
UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]+")
DELEGATES: Final = ("delegate_work_to_coworker", "ask_question_to_coworker")
PLAIN_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
PLAIN_KEYS: Final = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "type"})
USAGE: Final = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "cache_read_tokens": "cached_prompt_tokens",
    "cache_write_tokens": "cache_creation_tokens",
    "reasoning_tokens": "reasoning_tokens",
}


def kind(span: SpanView, stated: str) -> Kind | None:
    return kinds.RUN if stated == "CHAIN" and KICKOFF.fullmatch(span.name) else None


def role(span: SpanView, kind: Kind) -> Role | None:
    return None


def derive(span: SpanView, kind: Kind, found: Found, labels: Labels) -> None:
    if kind is kinds.RUN:
        named = KICKOFF.fullmatch(span.name)
        if named is not None and not span.has("graph.node.id"):
            found.pop("agent_name", None)
            labels.setdefault("workflow_name", named.group(1))
            _add_usage(found)
    elif kind is kinds.TOOL and UNFIT.search(name := found.get("tool_name", "")):
        # The model asks for it by a name that its API allows.
        found["tool_name"] = UNFIT.sub("_", name).strip("_").lower()


def _add_usage(found: Found) -> None:
    sent = found.get("output")
    if not isinstance(sent, str) or '"token_usage"' not in sent:
        return
    output = _mapping(sent)
    usage, tasks = output.get("token_usage"), output.get("tasks_output")
    if not isinstance(usage, Mapping) or not isinstance(tasks, list):
        return
    counts = [_calls_of(task) for task in tasks if isinstance(task, Mapping)]
    number = sum(count or 0 for count in counts)
    if None in counts or as_count(usage.get("successful_requests")) != number:
        return
    for field, key in USAGE.items():
        if (count := as_count(usage.get(key))) is not None:
            found[field] = count


def _calls_of(task: Mapping[str, Any]) -> int | None:
    """How many calls `_model_calls` finds, counted where messages are as they usually are."""
    listed = task.get("messages")
    number, role_ = 0, None
    for one in listed if isinstance(listed, list) else ():
        role_ = one.get("role") if type(one) is dict else None
        said = one.get("content") if role_ in PLAIN_ROLES else ()
        if type(said) is not str or said[:1] in ("[", "{") or not PLAIN_KEYS.issuperset(one):
            break
        if role_ == "assistant":
            asked = one.get("tool_calls")
            if asked and any(name in str(asked) for name in DELEGATES):
                break
            number += 1
    else:
        if number:
            return number + (role_ != "assistant" and bool(task.get("raw")))
    calls = _model_calls(task)
    return None if calls is None else len(calls)


def told(span: SpanView, step: Step) -> list[Told]:
    """The model calls of one task."""
    if step.kind is not kinds.RUN or not span.has("graph.node.id"):
        return []
    return _model_calls(_mapping(span.text("output.value"))) or []


def _model_calls(task: Mapping[str, Any]) -> list[Told] | None:
    """Model calls that a task's messages show; `None` where they do not show all of them."""
    listed = task.get("messages")
    if not isinstance(listed, list) or not listed:
        return None
    said = messages.parse(listed) or []
    found = []
    for one in said:
        if one["role"] == "assistant":
            requests = messages.tool_requests([one])
            if any(request.name in DELEGATES for request in requests):
                return None  # what the coworker did is not in here
            found.append(Told(kind=kinds.MODEL, tool_requests=requests))
    if said and said[-1]["role"] != "assistant" and task.get("raw"):
        found.append(Told(kind=kinds.MODEL))  # the answer itself is not always listed
    return found


def content(span: SpanView, kind: Kind) -> Mapping[str, Any]:
    """A crew was asked its tasks, an agent its one, an agent without a crew what `messages` says;
    all answer with `raw`."""
    if kind is not kinds.RUN:
        return {}
    output = _mapping(span.text("output.value"))
    tasks = arguments.parse(span.text("crew_tasks") or "[]")
    asked = _texts(tasks, "description") or _texts([output], "description")
    asked = asked or _texts([_mapping(span.text("input.value"))], "messages")
    answered = _texts([output], "raw")
    out: dict[str, Any] = {}
    if asked:
        out["messages_in"] = [{"role": "user", "content": asked}]
    if answered:
        out["messages_out"] = [{"role": "assistant", "content": answered}]
    return out


def _texts(items: Any, key: str) -> str:
    listed: Sequence[Any] = items if isinstance(items, list) else ()
    found = [one.get(key) for one in listed if isinstance(one, Mapping)]
    return "\n".join(text for text in found if isinstance(text, str))


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        value = plain_json.loads(text) if text else None
    except (ValueError, RecursionError):
        value = arguments.parse(text)
    return value if isinstance(value, Mapping) else {}
