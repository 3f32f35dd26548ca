"""Spans of a batch that no dialect recognizes and that look like an agent's, by scope."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from collector.normalize import flat
from otel_agentrun.dialects.unrecognized import is_unrecognized, looks_like_an_agent
from otel_agentrun.step import Step


def scopes(batch: pa.RecordBatch, steps: Sequence[Step]) -> Counter[str]:
    """Scope -> spans.  `steps` begin with those of the batch's rows, in their order."""
    rows = [row for row, step in enumerate(steps[: batch.num_rows]) if is_unrecognized(step)]
    found: Counter[str] = Counter()
    if not rows:
        return found
    offsets, keys, _ = flat(batch.column("SpanAttributes").take(pa.array(rows)))
    names = keys.to_pylist()
    for at, row in enumerate(rows):
        step = steps[row]
        if looks_like_an_agent(step.scope, step.name, names[offsets[at] : offsets[at + 1]]):
            found[step.scope] += 1
    return found
