"""Folding: one run of 100,000 spans, 10,000 runs open at once, and the memory they take.

python -m tests.bench.bench_fold
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Iterator

from collector.runs.assembler import Assembler
from otel_agentrun.step import Kind, Role, Step, Usage

BATCH = 512
SPANS = 100_000
RUNS = 10_000
SPANS_PER_RUN = 25
BASE_NS = 1_760_000_000_000_000_000


def steps_of(run: int, spans: int, *, root: bool = True) -> Iterator[Step]:
    """One agent's spans in the order they end: the root last."""
    trace_id = f"{run + 1:032x}"
    labels = {"session_id": f"s{run}", "user_id": f"u{run % 500}"}
    for number in range(2, spans + 1):
        kind = Kind.MODEL if number % 2 else Kind.TOOL
        yield Step(
            trace_id=trace_id,
            span_id=f"{run * 1_000_000 + number:016x}",
            parent_span_id=f"{run * 1_000_000 + 1:016x}",
            version=1,
            kind=kind,
            dialect="genai",
            scope="bench",
            name="chat" if kind is Kind.MODEL else "execute_tool search",
            start_ns=BASE_NS + number * 1_000_000,
            end_ns=BASE_NS + number * 1_000_000 + 900_000,
            model="gpt-4o-mini",
            usage=Usage(input_tokens=100, output_tokens=10) if kind is Kind.MODEL else None,
            tool_name="search" if kind is Kind.TOOL else "",
            arguments_digest=f"{number % 1000:016x}",
            labels=labels,
        )
    if root:
        yield Step(
            trace_id=trace_id,
            span_id=f"{run * 1_000_000 + 1:016x}",
            version=1,
            kind=Kind.RUN,
            role=Role.AGENT,
            dialect="genai",
            agent_name="bench",
            start_ns=BASE_NS,
            end_ns=BASE_NS + spans * 2_000_000,
            labels=labels,
        )


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def batches(steps: list[Step]) -> Iterator[list[Step]]:
    for at in range(0, len(steps), BATCH):
        yield steps[at : at + BATCH]


def one_large_run() -> None:
    steps = list(steps_of(0, SPANS))
    gc.collect()
    assembler = Assembler()
    before = resident_bytes()
    began = time.process_time()
    slowest = 0.0
    for batch in batches(steps):
        at = time.process_time()
        assembler.add(batch, 1)
        assembler.changes()
        slowest = max(slowest, time.process_time() - at)
    spent = time.process_time() - began
    show("one run of 100,000 spans, folded after each batch of 512", spent / SPANS * 1e6, "us/span")
    show("  slowest batch", slowest * 1e3, "ms")
    show("  memory beside the steps", (resident_bytes() - before) / SPANS, "bytes/span")


def many_open_runs() -> None:
    gc.collect()
    before = resident_bytes()
    assembler = Assembler()
    began = time.process_time()
    interleaved = zip(
        *(list(steps_of(run, SPANS_PER_RUN, root=False)) for run in range(RUNS)), strict=True
    )
    for row in interleaved:
        for batch in batches(list(row)):
            assembler.add(batch, 1)
    assembler.changes()
    spent = time.process_time() - began
    gc.collect()
    total = resident_bytes() - before
    spans = RUNS * (SPANS_PER_RUN - 1)
    show(f"{RUNS:,} runs open at once, {SPANS_PER_RUN - 1} spans each", total / 2**20, "MiB")
    show("  per open run", total / RUNS, "bytes")
    show("  per span", total / spans, "bytes")
    show("  fold", spent / spans * 1e6, "us/span (making the steps included)")


def show(what: str, figure: float, unit: str) -> None:
    sys.stdout.write(f"{what:60} {figure:10,.1f} {unit}\n")


if __name__ == "__main__":
    gc.disable()
    one_large_run()
    many_open_runs()
