"""Tool calls that only log records tell of: what they say of a model call, and the steps it makes.

A record becomes an event with digests and sizes, no content.  The fold keeps of each model call the
last message of the assistant and the results behind it (otel_agentrun/dialects/hearsay.py), however
long the history is that is logged again with every call.  Once the step of the model call is there,
each result makes a step beside it with the role `told`, which counts in a run without spans of
tools.  What is told is a function of the sets of records and steps: a record that comes late may
show that a result was history, and takes its step back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from collector.runs.events import make_event
from collector.runs.trace import Trace
from otel_agentrun.dialects import hearsay
from otel_agentrun.dialects.hearsay import MESSAGES, Paired, Said, paired
from otel_agentrun.dialects.kinds import MODEL, TOLD, TOOL
from otel_agentrun.dialects.told import Told, is_logged, logged
from otel_agentrun.step import Event, Status, Step

ASKED: Final = "asked"
"""{call id: fields of its step}, in the assistant's order."""
ANSWERS: Final = "answers"
"""{call id: fields of its step}."""
ASKED_FIELDS: Final = (
    *(field.name for field in fields(Step) if field.name.startswith("arguments_")),
    "tool_name", "input_bytes", "handoff_to",
)  # fmt: skip
ANSWER_FIELDS: Final = ("status", "error_type", "error_message", "result_digest", "output_bytes")
TIES_KEPT: Final = 2
"""Last messages of one time: with two, nothing can be told."""
STORED: Final = ""
"""In the place of the span id of who tells: steps that were read back from the store."""
Key = tuple[str, str]
"""(trace id, span id)."""


def telling(event: Event) -> Event | None:
    """The event that the fold keeps of a log record; `None` for one that tells of no call."""
    if not event.trace_id or not event.span_id:
        return None
    said = hearsay.said(event)
    if said is None:
        return None
    kept = {"span_id": event.span_id}
    if said.asked is not None:
        kept[ASKED] = _said_of(said.asked, ASKED_FIELDS)
    if said.answers:
        kept[ANSWERS] = _said_of(said.answers, ANSWER_FIELDS)
    return make_event(
        event.name if event.name in MESSAGES else hearsay.TOOL,
        event.at_ns,
        trace_id=event.trace_id,
        span_id=event.span_id,
        attributes=kept,
    )


def _said_of(calls: Mapping[str, Told], names: Iterable[str]) -> str:
    """What is known of each call, by its fields that are not as in any step."""
    nobody = Step(trace_id="", span_id="")
    steps = {call_id: logged(nobody, call, 1) for call_id, call in calls.items()}
    return json.dumps(
        {
            call_id: {
                name: value
                for name in names
                if (value := getattr(step, name)) != getattr(nobody, name)
            }
            for call_id, step in steps.items()
        }
    )


def is_telling(event: Event) -> bool:
    return event.name in MESSAGES


class Heard:
    """What log records say of the tool calls before one model call."""

    __slots__ = ("_answers", "_asked")

    def __init__(self) -> None:
        self._asked: list[Event] = []
        """The last message of the assistant's; two, where it cannot be told which is the last."""
        self._answers: dict[str, Event] = {}
        """Event id -> results that may lie behind it."""

    def take(self, event: Event) -> list[Event] | None:
        """Those that are history now; `None` when `event` itself says nothing new."""
        last_ns = self._asked[0].at_ns if self._asked else -1
        if event.at_ns < last_ns:
            return None
        gone: list[Event] = []
        if ASKED not in event.attributes:
            if event.at_ns == last_ns and len(self._asked) == TIES_KEPT:
                return None
            self._answers[event.event_id] = event
            return gone
        if event.at_ns > last_ns:
            gone, self._asked = self._asked, []
        self._asked = sorted([*self._asked, event], key=lambda each: each.event_id)
        gone += self._asked[TIES_KEPT:]
        del self._asked[TIES_KEPT:]
        first_ns = event.at_ns + (len(self._asked) == TIES_KEPT)
        for each in [each for each in self._answers.values() if each.at_ns < first_ns]:
            gone.append(self._answers.pop(each.event_id))
        return None if event in gone else gone

    def steps(self, teller: Step) -> tuple[Step, ...]:
        """The tool calls whose results `teller`, a model call, was given."""
        records = [_said(event) for event in (*self._asked, *self._answers.values())]
        return tuple(_step(teller, one) for one in paired(records))


Fields = dict[str, Any]


def _said(event: Event) -> Said[Fields, Fields]:
    asked = event.attributes.get(ASKED)
    return Said(
        event.at_ns,
        event.event_id,
        None if asked is None else json.loads(asked),
        json.loads(event.attributes.get(ANSWERS, "{}")),
    )


def _step(teller: Step, one: Paired[Fields, Fields]) -> Step:
    known = one.asked | one.answer
    call = Told(kind=TOOL, name=known["tool_name"], call_id=one.call_id)
    status = Status(known.pop("status", Status.SUCCESS))
    return replace(logged(teller, call, one.before), status=status, **known)


class Hearsay:
    """What log records tell of tool calls in the traces of one group, and the steps made of it."""

    __slots__ = ("_changed", "_heard", "_tellers", "_told", "events")

    def __init__(self) -> None:
        self.events = 0
        """Those that are not history."""
        self._heard: dict[Key, Heard] = {}
        self._changed: set[Key] = set()
        """Model calls that may tell something else than at the last `tell`."""
        self._told: dict[Key, tuple[Step, ...]] = {}
        """By who tells."""
        self._tellers: dict[Key, dict[str, Step]] = {}
        """By the told step: span id of who tells -> how it tells it."""

    @property
    def calls(self) -> int:
        """Model calls that were heard of: what the sizes of histories cannot change."""
        return len(self._heard)

    @property
    def is_news(self) -> bool:
        return bool(self._changed)

    def hear(self, event: Event) -> list[Event] | None:
        """See `Heard.take`."""
        key = (event.trace_id, event.span_id)
        heard = self._heard.get(key)
        if heard is None:
            heard = self._heard[key] = Heard()
        gone = heard.take(event)
        if gone is not None:
            self.events += 1 - len(gone)
            self._changed.add(key)
        return gone

    def came(self, step: Step, trace: Trace) -> None:
        """To be called before a step is added: it may tell of calls, or be a call that its span
        tells of as well, which is believed."""
        key = (step.trace_id, step.span_id)
        if step.role is TOLD:
            known = trace.nodes.get(step.span_id)
            if known is not None and is_logged(known.step):
                del trace.nodes[step.span_id]
                trace.stale = True
        elif key in self._heard:
            self._changed.add(key)

    def restored(self, step: Step, trace: Trace) -> None:
        """A told step that the store has: it stays unless records of its trace say otherwise."""
        key = (step.trace_id, STORED)
        self._tell(key, (*self._told.get(key, ()), step))
        self._changed.add(key)
        trace.add(step)

    def absorb(self, other: Hearsay) -> None:
        """What was heard of the other traces of a group that is joined."""
        self.events += other.events
        self._heard |= other._heard
        self._changed |= other._changed
        self._told |= other._told
        self._tellers |= other._tellers

    def tell(self, traces: Mapping[str, Trace]) -> list[Step]:
        """Bring the told steps up to date; those that are not told any more."""
        of_records = {trace_id for trace_id, _ in self._heard}
        affected: set[Key] = set()
        for key in self._changed | {(trace_id, STORED) for trace_id, _ in self._changed}:
            trace_id, span_id = key
            if span_id == STORED:
                if trace_id in of_records:
                    affected |= self._tell(key, ())
                continue
            trace = traces.get(trace_id)
            node = trace.nodes.get(span_id) if trace is not None else None
            teller = node.step if node is not None and node.step.kind is MODEL else None
            affected |= self._tell(key, self._heard[key].steps(teller) if teller else ())
        self._changed.clear()
        found = (self._place(traces[trace_id], span_id) for trace_id, span_id in affected)
        return [step for step in found if step is not None]

    def _tell(self, key: Key, steps: tuple[Step, ...]) -> set[Key]:
        """The told steps that are told otherwise from now on."""
        trace_id, teller = key
        before = self._told.pop(key, ())
        if steps:
            self._told[key] = steps
        if before == steps:
            return set()
        for step in before:
            del self._tellers[trace_id, step.span_id][teller]
        for step in steps:
            self._tellers.setdefault((trace_id, step.span_id), {})[teller] = step
        return {(trace_id, step.span_id) for step in (*before, *steps)}

    def _place(self, trace: Trace, span_id: str) -> Step | None:
        """Put a told step into its trace as the first one tells it; the step that nobody tells of
        any more."""
        tellers = self._tellers[trace.trace_id, span_id]
        node = trace.nodes.get(span_id)
        if node is not None and not is_logged(node.step):
            return None  # a span tells of it
        if not tellers:
            del self._tellers[trace.trace_id, span_id]
            if node is None:
                return None
            del trace.nodes[span_id]
            trace.stale = True
            return node.step
        step = min(tellers.items(), key=lambda told: (told[1].start_ns, told[0]))[1]
        if node is None:
            trace.add(step)
        elif node.step != step:
            node.step = step
            trace.stale = True
        return None
