"""Promise 3 with a store: traces that only links tie, each in a process of its own."""

from __future__ import annotations

import random
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from collector.normalize import steps_of
from collector.runs.assembler import Assembler
from collector.runs.run import Run
from collector.store.client import Store
from collector.store.reader import Reader, RunFilter
from collector.store.recall import Recall
from collector.store.writer import Flush, Writer
from tests.store.test_documents import decoded
from tests.support import captures
from tests.support.store import (
    START,
    store,  # noqa: F401
    store_database,  # noqa: F401
    store_engine,  # noqa: F401
    store_path,  # noqa: F401
)

SOURCE = "autogen-client"


@pytest.fixture(scope="module")
def traces() -> list[pa.RecordBatch]:
    """The spans of one team whose agents hand over, by trace."""
    [run] = [
        run
        for run in captures.truth(captures.folder(SOURCE))["runs"]
        if run["scenario"] == "handoff-1"
    ]
    spans = pa.Table.from_batches(decoded(SOURCE)[0]).combine_chunks()
    return [
        spans.filter(pc.equal(spans["TraceId"], trace_id)).to_batches()[0]
        for trace_id in run["trace_ids"]
    ]


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_traces_that_links_tie_are_one_run_whatever_the_store_had_first(
    store: Store,  # noqa: F811
    traces: list[pa.RecordBatch],
    order: str,
) -> None:
    """Ended groups leave memory after two seconds, exporters send every five: what links may be
    written long before what it links to.  A trace in which no agent acts is in no run until then.
    """
    shuffled = random.Random(7).sample(traces, len(traces))
    traces = traces[::-1] if order == "reversed" else shuffled
    whole = Assembler()
    for batch in traces:
        whole.add(steps_of(batch), START)
    expected = {run.run_id: run for run in whole.changes().runs}

    for batch in traces:
        _in_a_new_process(store, batch)

    found = {run.run_id: run for run in Reader(store).runs(RunFilter(limit=None))}
    assert len(expected) == 2
    assert _unnumbered(found) == _unnumbered(expected)


def _in_a_new_process(store: Store, spans: pa.RecordBatch) -> None:  # noqa: F811
    assembler = Assembler()
    assembler.add(steps_of(spans), START)
    while unknown := assembler.unknown():
        for stored in Recall(Reader(store))(unknown):
            assembler.restore(stored, START)
    changes = assembler.changes()
    assert assembler.failures == []
    Writer(store).write(
        Flush(
            spans=[spans],
            steps=changes.steps,
            runs=changes.runs,
            removed=changes.removed,
            events=changes.events,
            heard_of=changes.heard_of,
        )
    )


def _unnumbered(runs: dict[str, Run]) -> dict[str, Run]:
    return {run_id: replace(run, revision=0) for run_id, run in runs.items()}
