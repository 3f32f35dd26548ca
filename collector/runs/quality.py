"""Data quality of a run: what a person should know before trusting its figures.

From what the steps of the run say, never from the name of who sent them: a field is missing when
not one step of the run that could state it does.  An emitter that leaves out what is zero or empty
states it elsewhere in the run, or cannot be told from one that does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from collector.runs.bucket import Bucket, Tally
from otel_agentrun.step import Step

TOOL_CALL: Final = "tool_call"
"""The finish reason of a call that asks for tools, in every dialect."""
NOTES: Final[Mapping[str, str]] = {
    "arguments_missing": "no tool call has arguments: loops and policies see its name only",
    "cached_tokens_missing": "no model call says how many input tokens came from a cache: "
    "0 may be wrong, and the cost then too high",
    "duplicate_model_spans": "several spans described one model call; each was counted once",
    "model_calls_from_messages": "model calls without a span, known from what was said: how many "
    "and what they asked for; when each was made, how long it took and what it cost may be unknown",
    "model_missing": "no model call names its model",
    "model_spans_missing": "an agent ran and no span shows a model call: calls, tokens and cost "
    "are not known",
    "price_unknown": "a model call has tokens and no price: the run's cost is not known",
    "reasoning_tokens_missing": "no model call says how many output tokens were reasoning: "
    "0 may be wrong",
    "results_missing": "no tool call that worked has a result",
    "root_missing": "the run's root span never came: start, end and outcome are those of its steps",
    "tokens_missing": "a model call that was answered states no tokens: the sums are too low",
    "tool_calls_from_messages": "tool calls without a span, known from their results in a later "
    "message: when each ran and how long it took is not known, an error only where the result "
    "tells of one",
    "tool_spans_missing": "the model asked for tools and went on, and no span shows one: "
    "tool calls are not counted",
    "usage_from_aggregate": "no model span came; tokens are those that an agent or workflow span "
    "states",
}
"""What `data_quality` may list, and what it means."""


def data_quality(
    own: Tally,
    buckets: Sequence[Bucket],
    *,
    agent: bool,
    aggregated: bool,
    root_missing: bool,
    delegated: bool,
) -> tuple[str, ...]:
    """Names of `NOTES`, sorted.  `agent`: its root is an agent; `delegated`: it has child runs."""
    answered = own.calls_with_usage
    worked = own.tool_calls - own.tool_errors
    found = {
        "arguments_missing": 0 < own.tool_calls == own.tools_without_arguments,
        "cached_tokens_missing": 0 < answered == own.calls_without_cached,
        "duplicate_model_spans": own.duplicate_spans > 0,
        "model_calls_from_messages": own.calls_told > 0,
        "model_missing": own.model_calls > 0 and not any(any(b.models.values()) for b in buckets),
        "model_spans_missing": agent and not (own.model_calls or delegated or aggregated),
        "price_unknown": own.calls_unpriced > own.calls_without_usage,
        "reasoning_tokens_missing": 0 < answered == own.calls_without_reasoning,
        "results_missing": 0 < worked == own.tools_without_results,
        "root_missing": root_missing,
        "tokens_missing": own.calls_without_usage > 0,
        "tool_calls_from_messages": own.tools_told > 0,
        "tool_spans_missing": not own.tool_calls and not delegated and _went_on(buckets),
        "usage_from_aggregate": aggregated,
    }
    return tuple(name for name in NOTES if found[name])


def _went_on(buckets: Sequence[Bucket]) -> bool:
    """A model call asked for tools and was followed by another: they ran in between."""
    calls = [c for b in buckets for c in (b.first_model, b.last_model) if c is not None]
    if not calls:
        return False
    first, last = min(calls, key=lambda s: s.key), max(calls, key=lambda s: s.key)
    if first is not last and _asked(first):
        return True
    return any(b.fan_out for b in buckets) and not _asked(last)


def _asked(step: Step) -> bool:
    """Without messages, the finish reason tells."""
    return bool(step.tool_requests) or TOOL_CALL in step.finish_reasons
