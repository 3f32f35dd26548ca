"""CPU per span of normalize and fold, on plain GenAI spans and on a mix of all dialects.

    python -m tests.bench.bench_normalize [--runs 400] [--copies 4] [--rounds 20]

Plain is the load of `otlp_load` (25-span runs), the mix that of `mix.py` (the captures); 512 spans
a batch, each read from its journal payload just before, as the pipeline does; runs are made after
every eighth batch.  Prints one JSON object: microseconds per span by stage, the best of the rounds
(plain and mix in turns); the garbage collector is off and no digest is remembered from the round
before.
"""

from __future__ import annotations

import argparse
import gc
import json
import time

import pyarrow as pa

from collector import normalize, records
from collector.receiver.decode import Decoder
from collector.runs.assembler import Assembler
from otel_agentrun import arguments, dialects
from tests.bench.mix import build_mix
from tests.bench.otlp_load import build_pool

HOUR_NS = 3600 * 10**9
NOW_NS = time.time_ns()


BATCHES_A_FLUSH = 8
STAGES = ("views_us", "steps_us", "told_us", "fold_us", "total_us", "spans_per_run")


def round_us(payloads: list[pa.Buffer], schema: pa.Schema) -> tuple[float, ...]:
    """STAGES of one round over all payloads, microseconds per span; a run row is made per run."""
    spent = [0.0, 0.0, 0.0, 0.0]
    spans, runs = 0, set[str]()
    arguments._text_digest.cache_clear()
    assembler = Assembler()
    for number, payload in enumerate(payloads, 1):
        batch = records.decode(payload, schema)
        at = [time.thread_time()]
        views = normalize.views_of(batch)
        at.append(time.thread_time())
        steps = [dialects.step(view) for view in views]
        at.append(time.thread_time())
        for view, step in zip(views, steps[:], strict=True):
            steps += dialects.told(view, step)
        at.append(time.thread_time())
        assembler.add(steps, NOW_NS)
        if number % BATCHES_A_FLUSH == 0 or number == len(payloads):
            runs |= {run.run_id for run in assembler.changes().runs}
        at.append(time.thread_time())
        spent = [sum_ + end - begin for sum_, begin, end in zip(spent, at, at[1:], strict=False)]
        spans += len(views)
    return (*(secs / spans * 1e6 for secs in (*spent, sum(spent))), spans / len(runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=400, help="of the plain load")
    parser.add_argument("--copies", type=int, default=4, help="of each capture in the mix")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    loads = {"plain": build_pool(args.runs, 512, 7), "mix": build_mix(args.copies, 512, 7)}
    decoder = Decoder()
    batches = {
        name: [
            decoder.traces(payload.stamp(1, NOW_NS - HOUR_NS), received_at_ns=NOW_NS).batch
            for payload in pool
        ]
        for name, pool in loads.items()
    }
    payloads = {name: [records.encode(batch) for batch in of] for name, of in batches.items()}
    gc.collect()
    gc.disable()
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in loads}
    for _ in range(args.rounds):
        for name, of in rounds.items():
            of.append(round_us(payloads[name], batches[name][0].schema))
            gc.collect()
    found = {
        name: {
            "spans": sum(batch.num_rows for batch in batches[name]),
            "bytes_per_span": round(
                sum(payload.array.size for payload in loads[name])
                / sum(payload.spans for payload in loads[name])
            ),
            **{stage: round(min(one[at] for one in of), 2) for at, stage in enumerate(STAGES)},
        }
        for name, of in rounds.items()
    }
    print(json.dumps(found, indent=1))  # noqa: T201  # the result


if __name__ == "__main__":
    main()
