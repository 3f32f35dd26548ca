"""What rules need of a step is in the store: a new process goes on where the one before was."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from collector.runs.run import Changes, Finding
from collector.store.client import Store
from collector.store.reader import Reader
from collector.store.recall import Recall
from collector.store.writer import Flush, Writer
from otel_agentrun.step import Kind, Step
from tests.support.store import store, store_database, store_engine, store_path  # noqa: F401
from tests.support.truth import NOW_NS, judging, load

SOURCE = "openlit"


def a_loop() -> tuple[list[Step], pa.RecordBatch]:
    """A run that asks one question in other words, with the same answer; digests do not show it."""
    capture = load(SOURCE)
    [trace_id] = {
        step.trace_id
        for step in capture.steps
        if step.kind is Kind.TOOL and step.tool_name == "search_docs" and step.role == ""
    }
    steps = [step for step in capture.steps if step.trace_id == trace_id]
    spans = pa.concat_batches(
        [batch.filter(pc.equal(batch.column("TraceId"), trace_id)) for batch in capture.batches]
    )
    return sorted(steps, key=lambda step: step.key), spans


def loops(changes: Changes) -> list[Finding]:
    return [each for run in changes.runs for each in run.findings if each.kind == "loop"]


def test_a_loop_that_goes_on_after_a_restart_is_found(store: Store) -> None:  # noqa: F811
    """S5.43: the words of the calls before it are read back from the store, as hashes."""
    steps, spans = a_loop()
    *_, last = [step for step in steps if step.kind is Kind.TOOL]
    at_once = judging()
    at_once.add(steps, NOW_NS)
    expected = loops(at_once.changes())
    assert [finding.rule for finding in expected] == ["reworded"]

    before = judging()
    before.add([step for step in steps if step is not last], NOW_NS)
    changes = before.changes()
    assert loops(changes) == []
    other = pc.not_equal(spans.column("SpanId"), last.span_id)
    Writer(store).write(
        Flush(
            spans=[spans.filter(other)],
            steps=changes.steps,
            runs=changes.runs,
            events=changes.events,
        )
    )
    after = judging()
    after.add([last], NOW_NS)
    for stored in Recall(Reader(store))(after.unknown()):
        after.restore(stored, NOW_NS)

    assert loops(after.changes()) == expected
    kept = store.column(
        "SELECT ArgumentsSketch FROM agent_steps FINAL WHERE ToolName != '' ORDER BY Timestamp"
    )
    assert kept == [step.arguments_sketch for step in steps if step.tool_name and step is not last]
