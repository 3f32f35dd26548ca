"""Which run a span belongs to: ids, children, adoption, leaked contexts (S1.1-S1.3, S3.33-35)."""

from __future__ import annotations

from dataclasses import replace

from collector.runs.assembler import Assembler, AssemblerSettings, Stored
from collector.runs.group import TraceGroup, fold
from collector.runs.run import Run
from otel_agentrun.step import Kind, Role, Step
from tests.runs.builders import OTHER_TRACE, TRACE, a_step, agent, asks, model, tool


def run_of(runs: list[Run], run_id: str) -> Run:
    return next(run for run in runs if run.run_id == run_id)


def span(number: int) -> str:
    return f"{number:016x}"


def test_a_run_has_the_trace_id_whether_its_root_comes_first_or_last() -> None:
    """A run keeps its id when its root arrives last, as it does with every batching exporter."""
    steps = [agent(1), model(2, 1), tool(3, 1)]

    before = fold(steps[1:])
    after = fold(steps)

    assert [run.run_id for run in before] == [run.run_id for run in after] == [TRACE]
    assert before[0].status == "running"
    assert after[0].status == "completed"


def test_a_trace_in_which_no_agent_acts_has_no_run() -> None:
    """Plain HTTP traffic of the same service is kept as spans only."""
    assert fold([a_step(1), a_step(2, 1, role=Role.TRANSPORT)]) == []


def test_a_model_call_without_parent_is_its_own_run() -> None:
    """Plain clients send one trace per call; the call has ended, so the run has."""
    [run] = fold([model(1, tool_requests=asks("search"))])

    assert (run.status, run.root_span_id, run.total.model_calls) == ("completed", span(1), 1)


def test_an_agent_inside_a_run_is_a_child_run_and_counts_in_the_total_only() -> None:
    """S3.33: the parent refers to the child; own counts are its own (S3.36, S3.37)."""
    runs = fold([agent(1), model(2, 1), tool(3, 1), agent(4, 3, "refund"), model(5, 4)])
    parent, child = run_of(runs, TRACE), run_of(runs, f"{TRACE}-{span(4)}")

    assert parent.child_run_ids == (child.run_id,)
    assert (child.parent_run_id, child.root_run_id) == (TRACE, TRACE)
    assert (parent.own.model_calls, parent.total.model_calls) == (1, 2)
    assert parent.max_depth == 2


def test_a_second_invocation_in_the_same_trace_is_another_root_run() -> None:
    """Not one run with two roots: each is one execution of a task."""
    runs = fold([agent(1, end=20), agent(2, start=30), model(3, 2, start=31)])

    assert [(run.run_id, run.parent_run_id) for run in runs] == [
        (TRACE, ""),
        (f"{TRACE}-{span(2)}", ""),
    ]


def test_an_invocation_that_starts_after_its_parent_ended_is_another_root_run() -> None:
    """The context of a dead run stayed attached (smolagents, agno teams leave one)."""
    runs = fold([agent(1, start=0, end=10), agent(2, 1, start=20, end=30)])

    assert run_of(runs, f"{TRACE}-{span(2)}").parent_run_id == ""


def test_work_after_the_span_that_sent_it_is_still_inside_the_run() -> None:
    """A queue's consumer starts after its producer ended; that is no leaked context."""
    runs = fold(
        [
            agent(1, start=0, end=100),
            a_step(2, 1, role=Role.TRANSPORT, start=5, end=6),
            agent(3, 2, "worker", start=20, end=30),
        ]
    )

    assert run_of(runs, f"{TRACE}-{span(3)}").parent_run_id == TRACE


def test_a_background_job_is_a_child_of_the_run_that_ordered_it() -> None:
    """S5.23: a worker takes it up when that run is long over; our SDK says whose job it is."""
    job = agent(3, 2, "worker", start=200, end=300, role=Role.SDK)
    steps = [agent(1, start=0, end=100), tool(2, 1, start=5, end=6)]

    ordered = fold([*steps, replace(job, labels={"parent_run_id": TRACE})])
    leaked = fold([*steps, job])

    assert run_of(ordered, f"{TRACE}-{span(3)}").parent_run_id == TRACE
    assert run_of(leaked, f"{TRACE}-{span(3)}").parent_run_id == ""


def test_a_wrapper_adopts_the_lone_agent_below_it() -> None:
    """Wrapping one framework agent in a run gives one run, not two."""
    [run] = fold([agent(1, role=Role.SDK, name=""), a_step(2, 1), agent(3, 2), model(4, 3)])

    assert (run.agent_name, run.own.model_calls) == ("support", 1)


def test_of_several_agents_below_a_wrapper_each_is_a_child_run() -> None:
    """A team's members are runs of their own, and the wrapper's run has none of their calls."""
    steps = [agent(1, role=Role.WORKFLOW, name=""), agent(2, 1, "a"), agent(3, 1, "b"), model(4, 3)]
    runs = fold(steps)

    assert len(run_of(runs, TRACE).child_run_ids) == 2
    assert run_of(runs, TRACE).own.model_calls == 0


def test_a_wrapper_adopts_the_agent_that_carries_its_name() -> None:
    """`run(agent="support")` around triage and support is the run of support."""
    steps = [agent(1, role=Role.SDK, name="support"), agent(2, 1, "triage"), agent(3, 1, "support")]

    assert run_of(fold(steps), TRACE).child_run_ids == (f"{TRACE}-{span(2)}",)


def test_an_agent_behind_a_tool_is_not_adopted() -> None:
    """It was called by the run, it is not the run."""
    steps = [agent(1, role=Role.SDK, name=""), tool(2, 1), agent(3, 2)]

    assert run_of(fold(steps), TRACE).child_run_ids == (f"{TRACE}-{span(3)}",)


def test_an_explicit_run_id_joins_traces_into_one_run() -> None:
    """S2.20: `Alephant-Run-Id` is reused over all calls of a run, each in a trace of its own."""
    from collector.runs.assembler import Assembler

    assembler = Assembler()
    assembler.add([model(1, run_id="order-7")], 1)
    assembler.add([model(2, run_id="order-7", trace_id=OTHER_TRACE)], 1)
    [run] = assembler.changes().runs

    assert (run.run_id, run.own.model_calls) == ("order-7", 2)
    assert run.trace_ids == (TRACE, OTHER_TRACE)


def test_runs_of_two_tenants_with_the_same_explicit_id_stay_apart() -> None:
    """A run id is the client's choice; a workspace is a boundary (S2.1)."""
    from collector.runs.assembler import Assembler

    assembler = Assembler()
    assembler.add([model(1, run_id="1", labels={"workspace": "a"})], 1)
    assembler.add([model(2, run_id="1", trace_id=OTHER_TRACE, labels={"workspace": "b"})], 1)

    assert assembler.groups == 2


def test_links_of_agent_spans_join_traces() -> None:
    """AutoGen ties the traces of one run by span links only."""
    from collector.runs.assembler import Assembler

    assembler = Assembler()
    assembler.add([agent(1)], 1)
    assembler.add([tool(2, 9, trace_id=OTHER_TRACE, links=((TRACE, span(1)),))], 1)
    [run] = assembler.changes().runs

    assert (run.run_id, run.own.tool_calls) == (TRACE, 1)


def test_a_conversation_is_one_run_where_the_boundary_says_so() -> None:
    """S1.38: the boundary of a task is configurable; a chat is best seen as a conversation."""
    labels = {"conversation_id": "c1"}
    turns = [agent(1, labels=labels), agent(2, trace_id=OTHER_TRACE, labels=labels)]
    by_trace, by_conversation = (
        Assembler(),
        Assembler(AssemblerSettings(boundary=lambda _: "conversation")),
    )
    for turn in turns:
        by_trace.add([turn], 1)
        by_conversation.add([turn], 1)

    assert len(by_trace.changes().runs) == 2
    [run] = by_conversation.changes().runs
    assert run.trace_ids == (TRACE, OTHER_TRACE)


def test_a_run_that_the_next_fold_does_not_produce_is_removed_and_resolves() -> None:
    """An orphan agent was a root run until its parent came; its old id leads to the child run."""
    group = TraceGroup()
    group.add(agent(3, 2, "refund", start=30))
    group.add(agent(1, start=0, end=100))
    first = group.changes()
    group.add(tool(2, 1, start=20, end=60))
    second = group.changes()

    assert {run.run_id for run in first.runs} == {TRACE, f"{TRACE}-{span(3)}"}
    assert run_of(list(second.runs), f"{TRACE}-{span(3)}").parent_run_id == TRACE
    assert second.removed == ()

    late = TraceGroup()
    late.add(model(5, 4, start=50))
    late.changes()
    late.add(agent(4, 9, start=40))
    late.add(agent(1, start=0, end=100, role=Role.SDK, name="", run_id="named"))
    late.add(a_step(9, 1, start=1))
    gone = late.changes()
    assert [(each.run_id, each.replaced_by) for each in gone.removed] == [(TRACE, "named")]


def test_hostile_parents_in_a_circle_end_in_a_run() -> None:
    """A cycle of agents is nobody's child; all of it is folded once."""
    steps: list[Step] = [agent(1, 2), agent(2, 1), model(3, 2)]

    assert sum(run.own.model_calls for run in fold(steps)) == 1


def test_agents_nested_a_thousand_deep_are_folded() -> None:
    """Recursion in the data must not be recursion in the collector."""
    steps = [agent(n, n - 1, f"a{n}", start=n, end=5000) for n in range(1, 1200)]
    runs = fold([*steps, model(2000, 1199)])

    assert run_of(runs, TRACE).total.model_calls == 1
    assert run_of(runs, TRACE).max_depth == 1199


def test_a_childs_root_is_a_step_of_its_parent_and_names_its_run() -> None:
    """A child run's root is listed in both runs and stored once."""
    group = TraceGroup()
    for step in [agent(1), agent(2, 1, "refund"), model(3, 2)]:
        group.add(step)
    placed = {each.step.span_id: each for each in group.changes().steps}

    assert placed[span(2)].run_id == TRACE
    assert placed[span(2)].child_run_id == f"{TRACE}-{span(2)}"
    assert placed[span(2)].step.kind is Kind.RUN
    assert placed[span(3)].run_id == f"{TRACE}-{span(2)}"


def test_a_run_of_our_sdk_inside_another_is_its_child() -> None:
    """`agentrun.run()` inside `agentrun.run()` asks for a run of its own; only frameworks' agents
    are adopted (issue 3: nested runs are child runs)."""
    outer = agent(1, role=Role.SDK, run_id=TRACE)
    inner = agent(2, 1, role=Role.SDK, run_id=f"{TRACE}-inner")

    runs = {run.run_id: run for run in fold([outer, inner])}

    assert set(runs) == {TRACE, f"{TRACE}-inner"}
    assert runs[f"{TRACE}-inner"].parent_run_id == TRACE


def test_a_turn_that_has_left_memory_is_joined_with_the_next_one() -> None:
    """S1.38: its trace and the new one share nothing but the conversation; the store has it."""
    said = {"conversation_id": "c1"}
    settings = AssemblerSettings(boundary=lambda _: "conversation", linger_ns=0)
    first = [agent(1, start=1, end=3, labels=said), model(2, 1, start=1, end=2, labels=said)]
    before = Assembler(settings)
    before.add(first, 1)
    written = before.changes()
    assert before.forget(10) == [TRACE]

    before.add([agent(3, start=5, end=6, trace_id=OTHER_TRACE, labels=said)], 11)
    assert before.unknown().conversations == {("", "c1")}
    before.restore(Stored(steps=tuple(first), events=(), runs=written.runs), 11)
    [run] = [run for run in before.changes().runs if not run.parent_run_id]

    assert run.run_id == TRACE
    assert run.trace_ids == (TRACE, OTHER_TRACE)
