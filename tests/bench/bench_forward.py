"""What forwarding costs: CPU per span in the collector, and in the process that sends.

    python -m tests.bench.bench_forward [--spans 10000]

Prints one JSON object, in microseconds.  `take`: spooling, in the collector's writer; `lock`:
the part of it that holds the interpreter's lock.  `read`, `encode`, `gzip`: in the forwarding
process.  Spans are those of `otlp_load` (runs of about 25 spans).
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from typing import Any

from collector import normalize
from collector.forward import payload
from collector.forward.settings import Backend
from collector.forward.spool import Name
from collector.forward.worker import Batch
from collector.model import Signal
from collector.receiver.decode import Decoder
from collector.runs.run import PlacedStep
from tests.bench.otlp_load import build_pool

MINUTE_NS = 60 * 10**9
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000)
    wanted = parser.parse_args().spans
    batches, steps = [], []
    total = 0
    decoder = Decoder()
    now_ns = time.time_ns()
    for request in build_pool(max(2, wanted // 25), 512, seed=1):
        body = request.stamp(1, now_ns - MINUTE_NS)
        batch = decoder.traces(body, received_at_ns=now_ns).batch
        batches.append(batch)
        total += batch.num_rows
        steps += normalize.steps_of(batch)
    placed = [
        PlacedStep(step=step, run_id=step.trace_id, group_id=step.trace_id, revision=1)
        for step in steps
    ]
    take = best(lambda: payload.encode_spans(batches, placed, []))
    lock = best(lambda: payload.places_of(placed))
    content = payload.encode_spans(batches, placed, []).to_pybytes()
    backend = Backend(name="b", endpoint="http://x", directory="/")
    name = Name(1, Signal.TRACES, total)
    read = best(lambda: Batch(backend, name, content))
    made: list[bytes] = []

    def encode() -> None:
        made.clear()
        batch = Batch(backend, name, content)
        first = 0
        while first < len(batch.wanted):
            body, count = batch.request(first, backend.batch_items_max)
            made.append(body)
            first += count

    encoded = best(encode) - read
    squeezed = best(lambda: [gzip.compress(body, 1) for body in made])
    per_span = {
        "take_us": take,
        "lock_us": lock,
        "read_us": read,
        "encode_us": encoded,
        "gzip_us": squeezed,
    }
    found: dict[str, Any] = {
        key: round(seconds / total * 1e6, 2) for key, seconds in per_span.items()
    }
    found["spans"] = total
    found["spool_bytes_per_span"] = round(len(content) / total)
    found["spans_per_second"] = round(total / (read + encoded + squeezed))
    print(json.dumps(found, indent=2))  # noqa: T201


def best(act: Any) -> float:
    """CPU seconds of this process, the best of some rounds."""
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        act()
        spent.append(time.process_time() - began)
    return min(spent)


if __name__ == "__main__":
    main()
