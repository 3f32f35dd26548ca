"""Streamed calls that are recorded in pieces, beside each other and one after the other.

An emitter may end its span once a stream begins (`Role.OPENING`), and the rest of the call is a
span beside it under the same parent:
- a CLOSING of the same scope, when the request by itself is no call (kind OTHER).  Spans below the
  request, such as that of the client's own instrumentation, are of that call;
- the span of another scope that first asks for the stream once somebody reads it, when the opening
  is a model span.  It begins after the opening ended, both fail or neither does, and model, counts,
  ids and tool requests contradict each other nowhere.
A piece belongs to one call, and whatever follows continues the newest opening that it fits.  An
opening takes at most one span, so two calls that both say what they used never become one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from collector.runs.bucket import Node
from collector.runs.calls import Call
from otel_agentrun.dialects.kinds import CLOSING, MODEL, OPENING
from otel_agentrun.step import Step

__all__ = ["Streams", "pairs"]

OPEN_MAX: Final = 128
"""Openings under one parent that wait to be continued: the newest."""
VERSION: Final = re.compile(r"[-@:](?:latest|\d{8}|\d{4}-\d\d-\d\d|\d{4})\Z")
"""End of a model's name that a request leaves out and an answer has."""


class Streams:
    """The openings of one trace and the spans beside and below them."""

    __slots__ = ("_below", "_beside", "_news", "_opened", "_paired")

    def __init__(self) -> None:
        self._beside: dict[str, list[str]] = {}
        """parent -> span ids of the model spans and openings under it."""
        self._opened: set[str] = set()
        """Parents of openings."""
        self._news: set[str] = set()
        """Those of them under which something came since `settle`."""
        self._paired: dict[str, dict[str, str]] = {}
        """parent -> what `settle` has returned."""
        self._below: dict[str, list[Call]] = {}
        """span id of an opening that is no call -> calls below it."""

    def add(self, step: Step) -> None:
        """Take in a model span or an opening."""
        parent = step.parent_span_id
        self._beside.setdefault(parent, []).append(step.span_id)
        if step.role is OPENING:
            self._opened.add(parent)
        self.touch(step)

    def touch(self, step: Step) -> None:
        """A step, as it is now, may fit others than before."""
        if step.parent_span_id in self._opened:
            self._news.add(step.parent_span_id)

    def hold(self, opening: Step, calls: Iterable[Call]) -> None:
        """Keep calls that lie below an opening."""
        self._below.setdefault(opening.span_id, []).extend(calls)
        self.touch(opening)

    def below(self, span_id: str) -> list[Call]:
        return self._below.get(span_id, [])

    def settle(self, nodes: Mapping[str, Node]) -> Mapping[str, str] | None:
        """Span id of an opening -> that of the span that continues it, under parents with news.

        `None`: something that came late is what continues an opening, and not the span that was
        returned before.
        """
        if not self._news:
            return NO_PAIRS
        found: dict[str, str] = {}
        for parent in self._news:
            made = pairs(nodes[span_id].step for span_id in self._beside[parent])
            before = self._paired.get(parent, NO_PAIRS)
            if any(made.get(opening) != span_id for opening, span_id in before.items()):
                return None
            self._paired[parent] = made
            found |= made
        self._news.clear()
        return found


NO_PAIRS: Final[Mapping[str, str]] = {}


def pairs(steps: Iterable[Step]) -> dict[str, str]:
    """Span id of an opening -> that of the span that continues it, among steps of one parent."""
    found: dict[str, str] = {}
    openings: deque[Step] = deque(maxlen=OPEN_MAX)
    for step in sorted(steps, key=lambda step: step.key):
        if step.role is OPENING:
            openings.append(step)
            continue
        opening = next((each for each in reversed(openings) if continues(step, each)), None)
        if opening is not None:
            openings.remove(opening)
            found[opening.span_id] = step.span_id
    return found


def continues(step: Step, opening: Step) -> bool:
    """Whether a span beside an opening, which began later, is of the same call."""
    if opening.kind is not MODEL:
        return step.role is CLOSING and step.scope == opening.scope
    return (
        step.scope != opening.scope
        and step.start_ns >= opening.end_ns
        and step.failed == opening.failed
        and _same_model(step, opening)
        and not _contradict(step, opening)
    )


def _same_model(one: Step, other: Step) -> bool:
    """Of a call that failed, the model may be unknown: there, the error is the same."""
    if one.model and other.model:
        return VERSION.sub("", one.model) == VERSION.sub("", other.model)
    return one.failed and bool(one.error_message) and one.error_message == other.error_message


def _contradict(one: Step, other: Step) -> bool:
    """Whether they say of an answer what cannot be said of one."""
    if one.response_id and other.response_id and one.response_id != other.response_id:
        return True
    if one.usage is not None and other.usage is not None:
        counts = (one.usage.input_tokens, one.usage.output_tokens)
        if counts != (other.usage.input_tokens, other.usage.output_tokens):
            return True
    asked = {request.call_id for request in one.tool_requests} - {""}
    also = {request.call_id for request in other.tool_requests} - {""}
    return bool(asked and also and asked.isdisjoint(also))
