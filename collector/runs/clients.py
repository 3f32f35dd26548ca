"""Runs of clients without a span around their calls: each model call is a trace of its own.

What ties them is the tool calls: one model call asks for a tool, the next one brings its result
under the same id (and a tool that has a span, a third trace, names it, too).  Only the results that
are new in a request count, not those in the history that it repeats: the next turn of a chat is
another run.  And where two emitters record one call, each as a trace, the response's id ties them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from collector.runs.bucket import Bucket
from otel_agentrun.dialects.kinds import MODEL, TOOL
from otel_agentrun.step import Step

__all__ = ["calls", "echoes", "is_alone", "ties"]

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


def ties(buckets: Iterable[Bucket]) -> Iterator[tuple[Step, str]]:
    """(top, id) of the tool calls that those among `buckets` ask for, bring results of, or are, and
    of the responses that they got."""
    for bucket in buckets:
        top = bucket.top
        if top is None or not is_alone(top):
            continue
        told = bucket.told.get(TOOL)
        for node in (*bucket.nodes, *(told.nodes if told else ())):
            for one in _ids(node.step):
                if len(WORDS.split(one)[-1]) >= RANDOM_CHARS:
                    yield top, one


def _ids(step: Step) -> Iterator[str]:
    if step.kind is MODEL:
        yield step.response_id
        for request in step.tool_requests:
            yield request.call_id
    elif step.kind is TOOL:
        yield step.tool_call_id


def echoes(buckets: Iterable[Bucket]) -> list[tuple[Bucket, str]]:
    """(bucket, span id of the call that counts) of those that describe a call which another one
    describes: as siblings in one trace would (`calls.py`), they overlap and are of two scopes."""
    counting: dict[str, list[Bucket]] = {}
    found: list[tuple[Bucket, str]] = []
    for bucket in sorted(buckets, key=_fullest):
        top = bucket.top
        if top is None or top.kind is not MODEL:
            continue
        known = [
            other
            for response_id in {node.step.response_id for node in bucket.nodes} - {""}
            for other in counting.setdefault(response_id, [])
            if other.top is not None and _overlap(top, other.top) and top.scope != other.top.scope
        ]
        if known and known[0].top is not None:
            found.append((bucket, known[0].top.span_id))
            continue
        for response_id in {node.step.response_id for node in bucket.nodes}:
            counting.setdefault(response_id, []).append(bucket)
    return found


def _fullest(bucket: Bucket) -> tuple[bool, bool, int, str]:
    return (not bucket.tally.calls_with_usage, not bucket.told, bucket.start_ns, bucket.top_span_id)


def _overlap(one: Step, other: Step) -> bool:
    return one.start_ns <= other.end_ns and other.start_ns <= one.end_ns
