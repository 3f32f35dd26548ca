"""A store that several collectors write to: the last to write folds what all of them wrote."""

from __future__ import annotations

from collector.runs.assembler import Assembler, AssemblerSettings, Stored
from tests.runs.builders import OTHER_TRACE, TRACE, agent, model, tool

SETTINGS = AssemblerSettings(shared=True, linger_ns=10, quiet_ns=100)


def test_nothing_is_dropped_before_the_store_was_asked_about_it() -> None:
    """A slow store keeps a run waiting to be folded for longer than it lingers.  It is folded while
    others are looked at, and must not be dropped in the same breath."""
    assembler = Assembler(SETTINGS)
    assembler.add([agent(1, trace_id=OTHER_TRACE)], 0)
    assembler.changes()
    assembler.add([agent(1), model(2, 1)], 0)

    assert assembler.silent(50) == [OTHER_TRACE]  # the other one has changes to be written
    assembler.changes()
    assert assembler.forget(50) == [OTHER_TRACE]

    assert assembler.silent(60) == [TRACE]
    assembler.restore(Stored(steps=(tool(3, 1),), events=(), runs=()), 60)
    [run] = assembler.changes().runs
    assert (run.own.model_calls, run.own.tool_calls) == (1, 1)
    assert assembler.silent(80) == [TRACE]
    assert assembler.forget(80) == [TRACE]


def test_nothing_is_closed_before_the_store_was_asked_about_it() -> None:
    """Another collector may have its root."""
    assembler = Assembler(SETTINGS)
    assembler.add([model(2, 1)], 0)

    assert assembler.silent(200) == []
    assembler.changes()
    assert assembler.quiet(200) == []

    assert assembler.silent(200) == [TRACE]
    assert [event.run_id for event in assembler.quiet(200)] == [TRACE]
