"""CPU per span of the normalize stage: batch -> views -> steps.

    python -m tests.bench.bench_normalize [--runs 400] [--rounds 20]

The load is that of `otlp_load`: 25-span runs, 512 spans a batch, each batch read from its journal
payload just before, as the pipeline does.  Prints one JSON object: microseconds per span, the best
of the rounds; the garbage collector is off and no digest is remembered from the round before.
"""

from __future__ import annotations

import argparse
import gc
import json
import time

import pyarrow as pa

from collector import normalize, records
from collector.receiver.decode import Decoder
from otel_agentrun import arguments, dialects
from tests.bench.otlp_load import build_pool

HOUR_NS = 3600 * 10**9


def round_us(payloads: list[pa.Buffer], schema: pa.Schema) -> tuple[float, float]:
    """(views, steps) of one round over all payloads, microseconds per span."""
    views_secs = steps_secs = 0.0
    spans = 0
    arguments._text_digest.cache_clear()
    for payload in payloads:
        batch = records.decode(payload, schema)
        began = time.thread_time()
        views = normalize.views_of(batch)
        between = time.thread_time()
        steps = [dialects.step(view) for view in views]
        ended = time.thread_time()
        views_secs += between - began
        steps_secs += ended - between
        spans += len(steps)
    return views_secs / spans * 1e6, steps_secs / spans * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    now_ns = time.time_ns()
    decoder = Decoder()
    batches = [
        decoder.traces(payload.stamp(1, now_ns - HOUR_NS), received_at_ns=now_ns).batch
        for payload in build_pool(args.runs, 512, 7)
    ]
    payloads = [records.encode(batch) for batch in batches]
    gc.collect()
    gc.disable()
    rounds = [round_us(payloads, batches[0].schema) for _ in range(args.rounds)]
    found = {
        "views_us": min(views for views, _ in rounds),
        "steps_us": min(steps for _, steps in rounds),
        "both_us": min(map(sum, rounds)),
    }
    print(json.dumps({name: round(us, 2) for name, us in found.items()}))  # noqa: T201  # the result


if __name__ == "__main__":
    main()
