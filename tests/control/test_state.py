"""Directives as a fold over events, and what is open or in force at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.control.control import Control
from collector.control.directives import Action, Directive, Scope, directive_of, event_of
from collector.control.findings import directive_from
from collector.control.polling import StorePoll
from collector.control.sessions import Session, Sessions
from collector.control.state import ControlState, RunFacts
from collector.control.stats import ControlStats
from collector.errors import RetryableError, StoreError
from collector.runs.events import DIRECTIVE, FINDING, RUN_ENDED, make_event
from otel_agentrun import control_pb2 as pb
from otel_agentrun import semconv
from otel_agentrun.step import Event

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
DAY = 86_400 * SECOND

ACTIONS: list[Action] = ["pause", "resume", "kill"]
SCOPES: list[tuple[Scope, str]] = [
    ("run", "r1"), ("run", "r2"), ("agent", "support"), ("workspace", "acme"), ("everything", ""),
]  # fmt: skip


def a_directive(action: Action = "kill", number: int = 1, **fields: object) -> Directive:
    values: dict[str, object] = {
        "action": action,
        "scope": "run",
        "target": "r1",
        "directive_id": f"d-{number}",
        "at_ns": NOW + number,
        **fields,
    }
    return Directive(**values)  # type: ignore[arg-type]  # fields by name


def an_answer(directive: Directive, run_id: str, status: str, at_ns: int) -> Event:
    return make_event(
        DIRECTIVE,
        at_ns,
        run_id=run_id,
        attributes={
            semconv.DIRECTIVE_ID: directive.directive_id,
            semconv.DIRECTIVE_STATUS: status,
            semconv.DIRECTIVE_ACTION: directive.action,
        },
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Directives of all scopes, answers to some, and ends of runs."""
    events: list[Event] = []
    for number in range(draw(st.integers(1, 6))):
        scope, target = draw(st.sampled_from(SCOPES))
        directive = a_directive(
            draw(st.sampled_from(ACTIONS)), number, scope=scope, target=target,
            at_ns=NOW + draw(st.integers(0, 50)),
            workspace_limit=draw(st.sampled_from(["", "acme"])),
        )  # fmt: skip
        events.append(event_of(directive))
        for run_id in draw(st.lists(st.sampled_from(["r1", "r2"]), max_size=3)):
            status = draw(st.sampled_from(["acknowledged", "failed"]))
            events.append(an_answer(directive, run_id, status, NOW + draw(st.integers(0, 99))))
    if draw(st.booleans()):
        events.append(make_event(RUN_ENDED, NOW + 70, run_id="r1", attributes={}))
    return events


def seen(events: Sequence[Event]) -> object:
    state = ControlState(DAY)
    for event in events:
        state.add([event])
    run = RunFacts(run_id="r1", agent="support", workspace="acme", started_ns=NOW - SECOND)
    known = [(k.directive, k.status, sorted(k.answers.items())) for k in state.all()]
    opened = [k.directive.directive_id for k in state.open(NOW + 100)]
    return known, opened, state.standing(run, NOW + 100), state.open_for("r2", NOW + 100)


@given(histories(), st.randoms())
def test_the_state_does_not_depend_on_arrival(events: list[Event], random: Random) -> None:
    """Journal, store and other collectors give the same events several times, in any order."""
    arrived = [*events, *random.sample(events, k=len(events) // 2)]
    random.shuffle(arrived)

    assert seen(arrived) == seen(events)


@given(
    st.sampled_from(SCOPES),
    st.text(max_size=20),
    st.lists(st.text("0123456789abcdef", min_size=16, max_size=16), max_size=3),
)
def test_a_directive_is_read_back_from_its_event(
    scoped: tuple[Scope, str], text: str, spans: list[str]
) -> None:
    scope, target = scoped
    directive = Directive(
        action="kill", scope=scope, target=target, directive_id="d-1", reason=text, rule=text,
        actor=text, span_ids=tuple(spans), at_ns=NOW, expires_ns=NOW + 5, workspace_limit="acme",
        workspace="acme" if scope == "run" else "", trace_id="ab" * 16, tool_call_id="c",
    )  # fmt: skip
    assert directive_of(event_of(directive)) == directive


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (["pause"], "pause"),
        (["pause", "resume"], None),
        (["resume", "pause"], "pause"),
        (["kill", "resume"], "kill"),
        (["pause", "kill"], "kill"),
    ],
)
def test_a_resume_lifts_pauses_before_it_and_no_kill(
    actions: list[Action], expected: str | None
) -> None:
    state = ControlState(DAY)
    state.add([event_of(a_directive(action, n)) for n, action in enumerate(actions)])
    standing = state.standing(RunFacts(run_id="r1"), NOW + SECOND)
    assert (standing.action if standing else None) == expected


def test_an_approval_lifts_the_pause_that_waits_for_it() -> None:
    state = ControlState(DAY)
    state.add(
        [
            event_of(a_directive("pause", 1, approval_id="ap-1")),
            event_of(a_directive("approve", 2, approval_id="ap-2")),
        ]
    )
    assert state.standing(RunFacts(run_id="r1"), NOW + SECOND) is not None
    state.add([event_of(a_directive("approve", 3, approval_id="ap-1"))])
    assert state.standing(RunFacts(run_id="r1"), NOW + SECOND) is None


def test_a_wide_directive_concerns_runs_that_had_started() -> None:
    """And children of them; a limit to a workspace keeps others out."""
    state = ControlState(DAY)
    state.add([event_of(a_directive(scope="agent", target="support", workspace_limit="acme"))])
    before = RunFacts(run_id="a", agent="support", workspace="acme", started_ns=NOW - 1)
    assert state.standing(before, NOW + 9) is not None
    assert state.standing(replace(before, started_ns=NOW + 5), NOW + 9) is None
    assert state.standing(replace(before, workspace="other"), NOW + 9) is None
    assert state.standing(replace(before, agent="billing"), NOW + 9) is None


def test_who_stops_a_run_stops_those_below_it() -> None:
    state = ControlState(DAY)
    state.add([event_of(a_directive())])
    assert state.standing(RunFacts(run_id="child", above=("mid", "r1")), NOW + 9) is not None


def test_a_verdict_ends_with_its_run_and_a_directive_with_its_time() -> None:
    state = ControlState(DAY)
    short = a_directive("pause", 1, expires_ns=NOW + SECOND)
    state.add([event_of(short), event_of(a_directive("kill", 2))])
    assert [k.directive.directive_id for k in state.open(NOW + 2 * SECOND)] == ["d-2"]
    state.add([make_event(RUN_ENDED, NOW, run_id="r1", attributes={})])
    assert state.open(NOW + 3) == []
    assert state.standing(RunFacts(run_id="r1"), NOW + 3) is None
    state.forget(NOW + 2 * DAY)
    assert len(state) == 0


def test_nothing_is_kept_of_an_erased_run() -> None:
    """Neither directives for it nor its answer to a wide one."""
    state = ControlState(DAY)
    wide = a_directive(number=2, scope="everything", target="")
    state.add([event_of(a_directive()), event_of(wide), an_answer(wide, "r1", "failed", NOW)])
    state.erase(frozenset({"r1"}))
    assert [k.directive.directive_id for k in state.all()] == ["d-2"]
    assert state.all()[0].answers == {}
    assert state.open_for("r1", NOW) == []


# ------------------------------------------------------------------ findings


def a_finding(**said: str) -> Event:
    attributes = {
        semconv.FINDING_ID: "f" * 32,
        semconv.FINDING_RULE: "loop",
        semconv.FINDING_KIND: "loop",
        semconv.FINDING_ACTION: "kill",
        semconv.FINDING_EXPLANATION: "again and again",
        semconv.FINDING_SPAN_IDS: "a" * 16 + "," + "b" * 16,
        **said,
    }
    return make_event(FINDING, NOW, run_id="r1", trace_id="c" * 32, attributes=attributes)


@pytest.mark.parametrize(
    ("said", "stop_reason"),
    [
        ({}, "loop_detected"),
        ({semconv.FINDING_KIND: "policy"}, "policy"),
        ({semconv.FINDING_KIND: "budget", semconv.BUDGET_KIND: "cost_usd"}, "budget_cost"),
        ({semconv.FINDING_KIND: "budget", semconv.BUDGET_KIND: "input_tokens"}, "budget_tokens"),
        ({semconv.FINDING_KIND: "budget", semconv.BUDGET_KIND: "wall_secs"}, "budget_time"),
        ({semconv.FINDING_KIND: "budget", semconv.BUDGET_KIND: "steps"}, "budget_steps"),
    ],
)
def test_a_finding_says_why_its_run_stops(said: dict[str, str], stop_reason: str) -> None:
    directive = directive_from(a_finding(**said))
    assert directive is not None
    assert directive.stop_reason == stop_reason
    assert directive.span_ids == ("a" * 16, "b" * 16)
    assert directive == directive_from(a_finding(**said)), "the same finding, the same directive"


@pytest.mark.parametrize(
    "said",
    [
        {semconv.FINDING_ACTION: "flag"},
        {semconv.FINDING_ACTION: "warn"},
        {semconv.FINDING_DRY_RUN: "true"},
        {semconv.FINDING_WITHDRAWN: "true"},
        {semconv.FINDING_ID: ""},
    ],
)
def test_a_finding_that_calls_for_nothing_directs_nobody(said: dict[str, str]) -> None:
    assert directive_from(a_finding(**said)) is None


def test_a_finding_of_a_sender_reaches_runs_of_its_workspace() -> None:
    """An application may send findings of its own; its key says whose they are."""
    directive = directive_from(a_finding(**{semconv.WORKSPACE: "acme"}))
    assert directive is not None
    assert directive.workspace_limit == "acme"


# ------------------------------------------------------------------ Control


def test_nobody_is_told_what_could_not_be_journaled() -> None:
    """The giver hears of it and tries again; the same id is then one directive."""
    journaled: list[Event] = []
    full = True

    def record(event: Event) -> Event:
        if full:
            raise RetryableError("the journal is full", "journal_full")
        journaled.append(event)
        return event

    control = Control(record, now_ns=lambda: NOW)
    with pytest.raises(RetryableError):
        control.direct(a_directive(), actor="ada")
    assert control.directives() == []
    full = False
    for _ in range(2):
        assert control.direct(a_directive(), actor="ada")["status"] == "requested"
    assert len(journaled) == 1


def test_a_listener_gets_each_event_once_and_cannot_break_the_fold() -> None:
    got: list[Event] = []

    def breaks(events: Sequence[Event]) -> None:
        raise ValueError("a bug")

    control = Control(lambda event: event, now_ns=lambda: NOW)
    control.listen(breaks)
    control.listen(got.extend)
    event = event_of(a_directive())
    control.heard([event])
    control.heard([event, event])
    assert got == [event]


def test_the_store_is_read_whole_first_and_then_what_is_new() -> None:
    """A reading that fails is done again, whole."""
    asked: list[tuple[int, int]] = []
    works = False
    clock = [0.0]

    def read(since_ns: int, received_secs: int) -> list[Event]:
        asked.append((since_ns, received_secs))
        if not works:
            raise StoreError("down")
        return []

    poll = StorePoll(read, 86_400.0, lambda: clock[0])
    for works in (False, True):
        if works:
            poll.events(NOW)
        else:
            with pytest.raises(StoreError):
                poll.events(NOW)
    assert asked == [(NOW - DAY, 0), (NOW - DAY, 0)]
    clock[0] = 1.0
    poll.events(NOW + SECOND)
    assert asked[-1] == (NOW + SECOND - 900 * SECOND, NOW // SECOND + 1 - 30)
    clock[0] = 100.0
    poll.events(NOW + 100 * SECOND)
    assert asked[-1] == (NOW + 100 * SECOND - DAY, NOW // SECOND - 30)


# ------------------------------------------------------------------ sessions


async def a_session(room: int = 10, **fields: str) -> Session:
    return Session(
        application_id=fields.pop("application_id", "a"),
        loop=asyncio.get_running_loop(),
        outbox=asyncio.Queue(room),
        **fields,  # type: ignore[arg-type]  # all of them are text
    )


def test_an_application_that_takes_nothing_loses_its_stream_and_nothing_else() -> None:
    """The queue of one is bounded; others are served on."""

    async def main() -> tuple[Session, Session]:
        sessions = Sessions(ControlStats())
        slow, quick = await a_session(2), await a_session(10, application_id="b")
        sessions.open(slow, [])
        sessions.open(quick, [])
        for number in range(5):
            sessions.route(a_directive(number=number, scope="everything", target=""))
        await asyncio.sleep(0)
        return slow, quick

    slow, quick = asyncio.run(main())
    assert slow.overflowed
    assert not quick.overflowed
    assert quick.outbox.qsize() == 5
    last = None
    while not slow.outbox.empty():
        last = slow.outbox.get_nowait()
    assert last is None, "the stream ends"


def test_a_directive_goes_once_over_a_connection_and_not_to_other_workspaces() -> None:
    async def main() -> list[int]:
        sessions = Sessions(ControlStats())
        ours = await a_session(application_id="a", workspace="acme")
        theirs = await a_session(application_id="b", workspace="other")
        for session in (ours, theirs):
            sessions.open(session, [])
        limited = a_directive(scope="everything", target="", workspace_limit="acme")
        for _ in range(3):
            sessions.route(limited)
        await asyncio.sleep(0)
        return [ours.outbox.qsize(), theirs.outbox.qsize()]

    assert asyncio.run(main()) == [1, 0]


def test_a_run_directive_goes_to_its_holder_and_to_all_where_nobody_holds_it() -> None:
    async def main() -> list[list[str]]:
        sessions = Sessions(ControlStats())
        holder, other = await a_session(application_id="a"), await a_session(application_id="b")
        sessions.open(holder, [RunFacts(run_id="r1")])
        sessions.open(other, [])
        sessions.route(a_directive(number=1))
        assert sessions.report(holder, [], ["r1"]) == []
        sessions.route(a_directive(number=2))
        await asyncio.sleep(0)
        found = []
        for session in (holder, other):
            ids = []
            while not session.outbox.empty():
                message = session.outbox.get_nowait()
                assert message is not None
                ids.append(pb.Down.FromString(message).directive.id)
            found.append(ids)
        return found

    assert asyncio.run(main()) == [["d-1", "d-2"], ["d-2"]]
