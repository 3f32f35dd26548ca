"""Runs of clients without a span around their calls: each model call is a trace of its own.

What ties them is the tool calls: one model call asks for a tool, the next one brings its result
under the same id (and a tool that has a span, a third trace, names it, too).  Only the results that
are new in a request count, not those in the history that it repeats: the next turn of a chat is
another run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from collector.runs.bucket import Bucket
from otel_agentrun.dialects.kinds import MODEL, TOOL
from otel_agentrun.step import Step

__all__ = ["calls", "is_alone", "tool_call_ids"]

WORDS: Final = re.compile(r"[_-]")
RANDOM_CHARS: Final = 8
"""So much of an id has to look random: `call_0` of a local model is in every run."""


def is_alone(step: Step) -> bool:
    """Whether a step is the top of what a client did on its own."""
    is_call = step.kind is MODEL or (step.kind is TOOL and step.tool_call_id != "")
    return is_call and not step.parent_span_id and not step.run_id


def calls(buckets: Iterable[Bucket]) -> list[Step]:
    """The tops of `buckets` by start, if all of them are such steps and one is a model call; else
    none."""
    tops = [bucket.top for bucket in buckets]
    found = [top for top in tops if top is not None and is_alone(top)]
    if len(found) < len(tops) or not any(top.kind is MODEL for top in found):
        return []
    return sorted(found, key=lambda step: step.key)


def tool_call_ids(buckets: Iterable[Bucket]) -> Iterator[tuple[Step, str]]:
    """(top, id) of the tool calls that those among `buckets` ask for, bring results of, or are."""
    for bucket in buckets:
        top = bucket.top
        if top is None or not is_alone(top):
            continue
        told = bucket.told.get(TOOL)
        for node in (*bucket.nodes, *(told.nodes if told else ())):
            for call_id in _ids(node.step):
                if _is_unique(call_id):
                    yield top, call_id


def _ids(step: Step) -> Iterator[str]:
    if step.kind is MODEL:
        for request in step.tool_requests:
            yield request.call_id
    elif step.kind is TOOL:
        yield step.tool_call_id


def _is_unique(call_id: str) -> bool:
    return len(WORDS.split(call_id)[-1]) >= RANDOM_CHARS
