"""Which rows of a batch are of something that was erased: nothing of it may come back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from collector.model import Signal
from otel_agentrun import semconv

NAMES_A_RUN: Final = ("LogAttributes", "IngestAttributes")
"""Columns of a log record that may name its run where it has no trace."""


def is_erased(run_id: str, erased: Collection[str]) -> bool:
    """Was this run erased?  `erased` has trace ids, and run ids that do not begin with one."""
    return run_id in erased or run_id.partition("-")[0] in erased


def may_hold_erased(signal: Signal, trace_ids: Iterable[str], erased: frozenset[str]) -> bool:
    """Cheap: is it worth looking at the rows of a batch with these trace ids?"""
    if not erased:
        return False
    return not erased.isdisjoint(trace_ids) or (signal is Signal.LOGS and "" in trace_ids)


def erased_rows(signal: Signal, batch: pa.RecordBatch, erased: frozenset[str]) -> pa.BooleanArray:
    """True for the rows that must not be taken."""
    traces = batch.column("TraceId")
    gone = pc.is_in(traces, value_set=pa.array(sorted(erased), pa.string()))
    if signal is not Signal.LOGS:
        return gone
    mask = gone.to_pylist()
    loose = [row for row, trace_id in enumerate(traces.to_pylist()) if not trace_id]
    picked = pa.array(loose, pa.int64())
    for name in NAMES_A_RUN:
        for row, pairs in zip(loose, batch.column(name).take(picked).to_pylist(), strict=True):
            run_id = dict(pairs).get(semconv.RUN_ID, "")
            mask[row] = mask[row] or is_erased(run_id, erased)
    return pa.array(mask, pa.bool_())
