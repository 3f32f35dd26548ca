"""Loops: which cycle, how often, what changed, which spans, what it cost."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentrun import arguments
from otel_agentrun.rules import DEFAULTS, Ending, Loop, Ruleset, RulesFile, Seen, Watch
from otel_agentrun.sketch import sketch
from otel_agentrun.step import Role, Status, Step
from tests.rules.builders import a_file, call, found, plan, seen
from tests.runs.builders import model, tool

REPEATED = Loop(name="repeated", pattern="repeated_call", limit=4)
CYCLE = Loop(name="cycle", pattern="cycle", limit=3)


def test_the_call_at_the_limit_is_the_first_finding() -> None:
    """S1.25: three equal calls are tolerated, the fourth is found, with model calls in between."""
    steps: list[Step] = []
    for number in range(1, 9, 2):
        steps += [model(number, start=number, end=number), call(number + 1, result_digest="r")]

    assert found(a_file(REPEATED), steps[:-1]) == []
    [finding] = found(a_file(REPEATED), steps)

    assert (finding.rule, finding.kind, finding.amount, finding.limit) == ("repeated", "loop", 4, 4)
    assert finding.span_ids == tuple(step.span_id for step in steps if step.tool_name)
    assert finding.at_ns == steps[-1].end_ns
    assert "`search` called 4 times in a row with the same arguments" in finding.explanation
    assert "nothing changed" in finding.explanation


def test_a_finding_says_what_changed_and_what_it_cost() -> None:
    """A person decides by it: polling that gets on looks different from being stuck."""
    watch = Watch(Ruleset(a_file(REPEATED)).select({}))
    results = ["a", "b", "b", "c"]
    watch.add(
        Seen(call(number, result_digest=result), 250_000_000)
        for number, result in enumerate(results, 1)
    )
    [finding] = watch.findings()

    assert "results changed 2 times" in finding.explanation
    assert finding.cost_nano_usd == 1_000_000_000
    assert finding.explanation.endswith("it cost 1.00 USD")


@pytest.mark.parametrize("period", range(2, 17))
def test_cycles_of_every_period_are_found_when_they_are_proven(period: int) -> None:
    """S1.24: at the end of the third round, not a call earlier, and under their own period."""
    steps = [call(number + 1, f"tool{number % period}") for number in range(3 * period)]

    assert found(a_file(CYCLE), steps[:-1]) == []
    [finding] = found(a_file(CYCLE, REPEATED), steps)

    assert finding.amount == 3
    chain = finding.explanation.partition(" gone")[0]
    assert chain.startswith("`tool0` → `tool1`")


def test_a_cycle_is_told_from_the_place_where_it_began() -> None:
    steps = [call(n, name) for n, name in enumerate("xyabcabcabcab", 1)]
    [finding] = found(a_file(CYCLE), steps)

    assert finding.explanation.startswith("`a` → `b` → `c` gone through 3 times")
    assert finding.subject == steps[2].span_id


def test_a_repeated_call_is_no_cycle_of_longer_period() -> None:
    """`aaaaaaaa` is one call eight times, not four rounds of two."""
    rules = [found_.rule for found_ in found(a_file(CYCLE, REPEATED), [call(n) for n in range(9)])]
    assert rules == ["repeated"]


def test_calls_without_recorded_arguments_are_not_compared() -> None:
    """Where an emitter records none, five searches may be five different ones."""
    assert found(a_file(REPEATED, CYCLE), [call(n, digest="") for n in range(20)]) == []


def test_polling_tools_repeat_by_design() -> None:
    """Alone they are exempt; a loop that waits in between is still a loop."""
    waiting = [call(n, "wait_for_job") for n in range(1, 30)]
    assert found(a_file(REPEATED), waiting) == []
    assert found(a_file(REPEATED, polling_tools=()), waiting)

    mixed = [call(n, ("book", "wait_for_job")[n % 2]) for n in range(2, 8)]
    assert [each.rule for each in found(a_file(CYCLE), mixed)] == ["cycle"]
    exempt = Loop(name="cycle", pattern="cycle", limit=3, exempt=("book",))
    assert found(a_file(exempt), mixed) == []


def test_known_results_are_no_progress() -> None:
    """S5.43: slightly different questions, the same answer every time."""
    rule = Loop(name="stuck", pattern="no_progress", limit=4)
    steps = [call(n, digest=f"d{n}", result_digest="nothing") for n in range(1, 6)]

    assert found(a_file(rule), steps[:-1]) == []
    [finding] = found(a_file(rule), steps)
    assert "4 calls in a row (`search`) gave only results that were known already" in (
        finding.explanation
    )
    unrecorded = [call(n, digest="", result_digest="nothing") for n in range(1, 6)]
    assert [each.rule for each in found(a_file(rule), unrecorded)] == ["stuck"]
    fresh = [call(n, digest=f"d{n}", result_digest=f"r{n}") for n in range(1, 30)]
    assert found(a_file(rule), fresh) == []


def test_near_duplicates_are_found_where_the_words_are_at_hand() -> None:
    """S5.43: eleven of twelve words are the same; a digest alone could not tell."""
    rule = Loop(name="near", pattern="near_duplicate", limit=4)
    common = "which refund policy holds for bent brake levers bought online last"
    watch = Watch(Ruleset(a_file(rule)).select({}))
    for number, month in enumerate(["may", "june", "july", "august"], 1):
        given = sketch({"query": f"{common} {month}"})
        step = call(number, digest=month, result_digest=month, arguments_sketch=given)
        watch.add([Seen(step)])

    [finding] = watch.findings()
    assert "4 times in a row with almost the same arguments" in finding.explanation
    assert found(a_file(rule), [call(n, digest=f"d{n}") for n in range(9)]) == []


def asked(number: int, given: object, result: str, name: str = "search") -> Step:
    """A call as the collector knows it."""
    return call(
        number, name, arguments.digest(given), arguments_sketch=sketch(given),
        result_digest=arguments.result_digest(result),
    )  # fmt: skip


QUESTIONS = ["ACME Q3 revenue", "ACME Q3 revenue", "ACME Q3 figure", "ACME third quarter revenue"]


def test_a_question_put_in_other_words_is_found_when_the_answer_is_the_same() -> None:
    """S5.43: two calls are equal to the letter, two are reworded, and nothing ever came of it."""
    rule = Loop(name="again", pattern="reworded", limit=4)
    steps = [asked(n, {"query": q}, "No results.") for n, q in enumerate(QUESTIONS, 1)]

    assert found(a_file(rule), steps[:-1]) == []
    [finding] = found(a_file(rule), steps)
    assert finding.explanation == (
        "`search` called 4 times in a row with the same arguments, to the letter or in other words;"
        " the result was the same each time"
    )
    assert finding.span_ids == tuple(step.span_id for step in steps)


def test_rewording_is_no_loop_while_it_leads_to_something_new() -> None:
    """Other results, results that nobody recorded, or four wordings none of which came twice."""
    rule = Loop(name="again", pattern="reworded", limit=4)
    for results in (["a", "b", "c", "d"], ["a", "a", "a", "b"], ["", "", "", ""]):
        steps = [asked(n, {"query": q}, r) for n, (q, r) in enumerate(zip(QUESTIONS, results), 1)]  # noqa: B905  # as many
        assert found(a_file(rule), steps) == []
    wordings = ["ACME revenue", "ACME Q3 revenue", "revenue of ACME", "ACME revenue figure"]
    assert found(a_file(rule), [asked(n, {"q": q}, "no") for n, q in enumerate(wordings)]) == []


@pytest.mark.parametrize(
    "update",
    [
        lambda n: {"id": n, "status": "done"},
        lambda n: {"ticket": f"T-{n}", "status": "closed", "reason": "the outage of last Friday"},
        lambda n: {"to": f"{NAMES[n % 30]}@example.com", "text": "your bill is due, please pay"},
        lambda n: {"record": {"owner": NAMES[n % 30]}, "state": "active", "checked": True},
        lambda n: NAMES[n % 30],
    ],
)
def test_the_same_acknowledgement_of_many_updates_is_progress(update: Any) -> None:
    """A tool that writes answers `ok` each time: other arguments, the same result, no loop."""
    updates = [asked(n, update(n), "ok", "update_record") for n in range(1, 31)]
    mixed = [
        step
        for n in range(1, 60, 2)
        for step in (model(n, start=n, end=n), asked(n + 1, update(n // 2), "ok", "update_record"))
    ]

    watch = Watch(Ruleset(RulesFile(), DEFAULTS).select({}))
    watch.add(seen(updates))
    assert watch.findings(ending=Ending(completed=True)) == []
    assert found(RulesFile(loops=DEFAULTS.loops), mixed) == []


NAMES = [f"{first}{last}" for first in ("ann", "bob", "eve", "kim", "lea") for last in "abcdef"]


def test_an_update_that_is_made_again_is_still_found() -> None:
    """One of many acknowledged updates sent again and again is stuck."""
    rules = a_file(REPEATED)
    updates = [asked(n, {"id": n}, "ok") for n in range(1, 10)]
    again = [asked(n, {"id": 9}, "ok") for n in range(10, 13)]
    assert found(rules, updates) == []
    assert [each.rule for each in found(rules, [*updates, *again])] == ["repeated"]


def test_a_long_cycle_is_a_loop_after_two_rounds() -> None:
    """Eight calls in the very same order are no coincidence; two rounds of two calls may be."""
    steps = [call(n + 1, "search", f"q{n % 4}") for n in range(8)]
    rules = RulesFile(loops=DEFAULTS.loops)

    assert found(rules, steps[:-1]) == []
    [finding] = found(rules, steps)
    assert (finding.rule, finding.amount, finding.limit) == ("long-cycle", 2, 2)
    assert found(rules, [call(n + 1, "search", f"q{n % 2}") for n in range(5)]) == []
    assert [f.rule for f in found(rules, [call(n, "s", f"q{n % 2}") for n in range(6)])] == [
        "cycle"
    ]


def unrecorded(turns: int, calls: int = 1) -> list[Step]:
    """Turns of an agent whose emitter records names only."""
    steps: list[Step] = []
    for number in range(turns):
        at = number * 10 + 1
        steps.append(model(at, start=at, end=at))
        steps += [call(at + each, digest="") for each in range(1, calls + 1)]
    return steps


FAILED_RUN = Ending(completed=False)


def test_calls_of_which_nothing_is_recorded_are_a_loop_when_the_run_failed_after_them() -> None:
    """S5.43: all that shows is one tool, turn after turn, until a limit ended the run."""
    rule = Loop(name="blind", pattern="unrecorded", limit=6)
    [finding] = found(a_file(rule), unrecorded(6), ending=FAILED_RUN)

    assert finding.explanation == (
        "`search` called 6 times in a row until the run failed;"
        " arguments and results are not recorded"
    )
    assert len(finding.span_ids) == 6
    assert found(a_file(rule), unrecorded(5), ending=FAILED_RUN) == []


def test_many_calls_of_one_tool_are_no_loop_by_themselves() -> None:
    """One in ten recorded conversations has six in a row: a run that completed, one that failed of
    something else, calls that were asked for together, and calls that can be compared."""
    rule = Loop(name="blind", pattern="unrecorded", limit=6)
    steps = unrecorded(20)

    assert found(a_file(rule), steps) == []
    assert found(a_file(rule), steps, ending=Ending(completed=True)) == []
    outage = model(900, start=900, end=900, status=Status.ERROR)
    assert found(a_file(rule), [*steps, outage], ending=FAILED_RUN) == []
    broken = call(900, digest="", status=Status.ERROR)
    assert found(a_file(rule), [*steps, broken], ending=FAILED_RUN) == []
    assert found(a_file(rule), unrecorded(2, calls=8), ending=FAILED_RUN) == []
    known = [call(n, digest=f"d{n}") for n in range(1, 20)]
    assert found(a_file(rule), known, ending=FAILED_RUN) == []


def test_failures_in_a_row_are_a_retry_storm_until_one_works() -> None:
    rule = Loop(name="storm", pattern="retry_storm", limit=3)
    bad = {"status": Status.ERROR, "error_type": "rate_limit"}
    [finding] = found(a_file(rule), [call(n, **bad) for n in range(1, 4)])
    assert finding.explanation.startswith("`search` failed 3 times without a success in between")
    assert "rate_limit" in finding.explanation

    recovered = [call(1, **bad), call(2, **bad), call(3), call(4, **bad), call(5, **bad)]
    assert found(a_file(rule), recovered) == []
    models = [model(n, start=n, end=n, status=Status.ERROR) for n in range(1, 4)]
    assert [each.rule for each in found(a_file(rule), models)] == ["storm"]


def test_agents_that_hand_to_each_other_play_ping_pong() -> None:
    rule = Loop(name="pong", pattern="ping_pong", limit=2)

    def handoff(number: int, one: str, other: str) -> Step:
        return tool(
            number, role=Role.HANDOFF, agent_name=one, handoff_to=other, start=number, end=number
        )

    steps = [handoff(n, *("ab" if n % 2 else "ba")) for n in range(1, 5)]
    [finding] = found(a_file(rule), steps)
    assert finding.explanation.startswith("agents `a` and `b` handed to each other, 2 times")
    chain = [handoff(1, "a", "b"), handoff(2, "b", "c"), handoff(3, "c", "d"), handoff(4, "d", "e")]
    assert found(a_file(rule), chain) == []


def test_plans_without_deeds_are_found_and_deeds_reset_them() -> None:
    """S5.42: planning iterations."""
    rule = Loop(name="plans", pattern="planning", limit=3)
    assert [each.amount for each in found(a_file(rule), [plan(n) for n in range(1, 5)])] == [4]
    assert found(a_file(rule), [plan(1), plan(2), call(3), plan(4), plan(5)]) == []


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Up to 120 calls of few tools, with failures, loops likely."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    steps: list[Step] = []
    for number in range(1, draw(st.integers(1, 120))):
        kind = rng.random()
        if kind < 0.15:
            steps.append(model(number, start=number, end=number))
        elif kind < 0.2:
            steps.append(plan(number))
        else:
            failed = rng.random() < 0.2
            steps.append(
                call(
                    number,
                    rng.choice("ab"),
                    rng.choice("xxy"),
                    result_digest=rng.choice("rs"),
                    arguments_sketch=sketch(rng.choice(["", "a b", "a c", "d"])),
                    status=Status.ERROR if failed else Status.SUCCESS,
                    error_type="validation_error" if failed else "",
                )
            )
    return steps


@settings(max_examples=150, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_findings_do_not_depend_on_arrival(history: list[Step], rng: random.Random) -> None:
    """The same steps in any order, in any batches, some of them twice, give the same findings."""
    selected = Ruleset(RulesFile(), DEFAULTS).select({})
    whole = Watch(selected)
    whole.add(seen(history, 1000))
    arrived = history + rng.sample(history, len(history) // 4)
    rng.shuffle(arrived)
    pieces = Watch(selected)
    while arrived:
        size = rng.randrange(1, 20)
        pieces.add(seen(arrived[:size], 1000))
        arrived = arrived[size:]

    assert pieces.findings() == whole.findings()
    assert len(pieces) == len(history)


@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_steps_that_are_taken_out_leave_no_trace(history: list[Step], rng: random.Random) -> None:
    """A step that turns out to be another run's was never this one's."""
    selected = Ruleset(RulesFile(), DEFAULTS).select({})
    gone = {step.span_id for step in rng.sample(history, len(history) // 3)}
    watch = Watch(selected)
    watch.add(seen(history))
    watch.remove(gone)
    without = Watch(selected)
    without.add(seen([step for step in history if step.span_id not in gone]))

    assert watch.findings() == without.findings()


def test_memory_does_not_grow_with_what_repeats_never() -> None:
    """Only what is near enough to matter is remembered."""
    watch = Watch(Ruleset(RulesFile(), DEFAULTS).select({}))
    steps = [call(n, f"t{n}", f"d{n}", result_digest=f"r{n}") for n in range(1, 3000)]
    watch.add(seen(steps))
    trail = watch._trail

    assert len(trail._last_at) <= 128
    assert len(trail._results) <= 128
    assert len(trail._ring) <= 48
