"""One entry per decision, whatever happens; and whoever touches a row is found out (S5.92)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from collector.errors import ConfigError, StoreError
from collector.ledger.chain import FILE, Ledger
from collector.ledger.query import LedgerQuery
from collector.ledger.reader import documents, verified
from collector.runs.events import DECISION, DIRECTIVE, ERASED, FINDING, make_event
from collector.store.client import Store
from collector.store.erase import Eraser, Found
from collector.store.writer import Flush, Writer
from otel_agentrun import semconv
from otel_agentrun.step import Event
from tests.support.store import (
    SECOND,
    START,
    TRACE,
    store,  # noqa: F401
    store_database,  # noqa: F401
    store_engine,  # noqa: F401
    store_path,  # noqa: F401
)


def a_decision(number: int, *, reason: str = "too much", **attributes: str) -> Event:
    said = {
        semconv.DECISION_KIND: "stop",
        semconv.DECISION_OUTCOME: "block",
        semconv.DECISION_REASON: f"{reason} {number}",
        semconv.DECISION_RULE: "refunds",
        semconv.ACTOR: "ann",
        semconv.RULES_VERSION: "sha256-1f0a",
        **attributes,
    }
    return make_event(DECISION, START + number * SECOND, trace_id=TRACE, attributes=said)


def written(opened: Store, ledger: Ledger, *events: Event) -> None:
    Writer(opened, ledger=ledger).write(Flush(events=[(event, TRACE, TRACE) for event in events]))


def five(opened: Store, tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path, alone=True)
    written(opened, ledger, *map(a_decision, range(3)))
    written(opened, ledger, *map(a_decision, range(3, 5)))
    return ledger


def problems(opened: Store, *ledgers: Ledger) -> list[tuple[int, str]]:
    report = verified(opened, [ledger.anchor for ledger in ledgers])
    found = [(p["seq"], p["problem"]) for chain in report["chains"] for p in chain["problems"]]
    assert report["ok"] is (not found)
    return found


def replace_row(opened: Store, seq: int, **columns: str) -> None:
    """As somebody with the right to write to the database would: other values, same key."""
    names = opened.column(
        "SELECT name FROM system.columns WHERE table = 'decision_ledger'"
        " AND database = currentDatabase() ORDER BY position"
    )
    values = ", ".join(columns.get(name, name) for name in names)
    opened.command(
        f"INSERT INTO decision_ledger ({', '.join(names)})"
        f" SELECT {values} FROM decision_ledger FINAL WHERE Seq = {seq}"
    )


def delete_row(opened: Store, condition: str) -> None:
    opened.command(
        f"ALTER TABLE decision_ledger DELETE WHERE {condition}", settings={"mutations_sync": 2}
    )


def test_an_untouched_chain_verifies(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """Every entry follows the one before it; the report names the head."""
    ledger = five(store, tmp_path)

    report = verified(store, [ledger.anchor])

    assert report["ok"] is True
    assert report["entries"] == 5
    [chain] = report["chains"]
    assert (chain["first_seq"], chain["last_seq"]) == (1, 5)
    assert chain["head"] == ledger.anchor.hash
    assert ledger.entries == 5


def test_entries_say_who_decided_what_and_why(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """Actor, rule, versions, run and span are in the entry; the reason is read from the event."""
    five(store, tmp_path)

    entries = documents(store, LedgerQuery(run_id=TRACE, limit=2))

    assert [entry["seq"] for entry in entries] == [4, 5]
    entry = entries[-1]
    assert (entry["kind"], entry["outcome"], entry["actor"]) == ("stop", "block", "ann")
    assert (entry["rule"], entry["rules_version"]) == ("refunds", "sha256-1f0a")
    assert entry["reason"] == "too much 4"
    assert documents(store, LedgerQuery(since_ns=START + 4 * SECOND)) == [entry]
    assert documents(store, LedgerQuery(run_id="another")) == []


@pytest.mark.parametrize(
    "column", ["Actor", "Outcome", "RunId", "ReasonDigest", "ContentDigest", "PreviousHash"]
)
def test_a_changed_entry_is_found(store: Store, tmp_path: Path, column: str) -> None:  # noqa: F811
    """Whatever was changed in a row, its hash no longer fits."""
    ledger = five(store, tmp_path)
    replace_row(store, 3, **{column: "'somebody else'"})

    assert (3, "the entry was changed: its hash is another") in problems(store, ledger)


def test_a_changed_entry_with_a_new_hash_is_found(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """Who also makes the hash anew breaks the link of the next entry."""
    from dataclasses import replace

    from collector.ledger.entry import sealed
    from collector.ledger.reader import SELECT
    from collector.store.rows import entries_of, ledger_rows

    ledger = five(store, tmp_path)
    [entry] = entries_of(store.arrow(f"{SELECT} WHERE Seq = 3"))
    store.insert_arrow("decision_ledger", ledger_rows([sealed(replace(entry, actor="bob"))]))

    assert problems(store, ledger) == [(4, "it does not follow entry 3: that one was replaced")]


def test_a_removed_entry_is_found(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """In the middle, at the beginning, and, as the collector remembers its newest, at the end."""
    ledger = five(store, tmp_path)
    delete_row(store, "Seq = 3")
    assert problems(store, ledger) == [(3, "entry 3 is missing")]
    delete_row(store, "Seq = 1")
    assert problems(store, ledger) == [(1, "entry 1 is missing"), (3, "entry 3 is missing")]
    delete_row(store, "Seq = 5")
    assert (5, "entries 5 to 5, the newest, are missing") in problems(store, ledger)


def test_a_removed_chain_is_found(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """No row at all is not the same as no decision at all."""
    ledger = five(store, tmp_path)
    delete_row(store, "1")

    assert problems(store, ledger) == [(1, "entries 1 to 5, the newest, are missing")]


def test_the_chain_goes_on_behind_removed_entries(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """A collector that starts after somebody cut the chain must not cover it up."""
    five(store, tmp_path)
    delete_row(store, "Seq >= 4")
    again = Ledger(tmp_path, alone=True)
    written(store, again, a_decision(9))

    assert problems(store, again) == [(4, "entries 4 to 5 are missing")]


def test_entries_that_changed_places_are_found(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """The place is part of what is hashed."""
    ledger = five(store, tmp_path)
    replace_row(store, 2, Seq="33")
    replace_row(store, 3, Seq="2")
    delete_row(store, "Seq = 3 OR (Seq = 2 AND Hash NOT IN"
               " (SELECT Hash FROM decision_ledger WHERE Seq = 2 AND Actor = ''))")  # fmt: skip
    replace_row(store, 33, Seq="3")
    delete_row(store, "Seq = 33")

    assert [seq for seq, _ in problems(store, ledger)]


def test_an_inserted_entry_is_found(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """Its place is taken, whatever it says."""
    ledger = five(store, tmp_path)
    replace_row(store, 3, EventId="'forged'")

    found = problems(store, ledger)

    assert (3, "an entry was inserted: its place is taken") in found


def test_a_changed_event_is_found(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """The entry holds the digest of what was decided: rewriting the reason shows."""
    ledger = five(store, tmp_path)
    event = a_decision(2)
    attributes = {**event.attributes, semconv.DECISION_REASON: "harmless"}
    changed = Event(
        event_id=event.event_id, name=event.name, at_ns=event.at_ns, trace_id=event.trace_id,
        attributes=attributes,
    )  # fmt: skip
    Writer(store).write(Flush(events=[(changed, TRACE, TRACE)]))

    assert problems(store, ledger) == [(3, "the event it is about was changed")]


def test_erasing_a_run_leaves_the_chain_valid(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """`runs delete` takes the events and their words; the entries hold digests (S4.25)."""
    ledger = five(store, tmp_path)

    Eraser(store).erase(
        Found(
            group_ids=frozenset({TRACE}), run_ids=frozenset({TRACE}), trace_ids=frozenset({TRACE})
        )
    )
    attributes = {semconv.ACTOR: "ann", "agentrun.erased.runs": "1"}
    written(store, ledger, make_event(ERASED, START + 60 * SECOND, attributes=attributes))

    assert store.column("SELECT count() FROM agent_events") == [1]
    assert problems(store, ledger) == []
    entries = documents(store, LedgerQuery())
    assert [entry["reason"] for entry in entries] == [None] * 6
    assert entries[-1]["kind"] == "erasure"
    held = store.column("SELECT toString(tuple(*)) FROM decision_ledger")
    assert not any("too much" in row for row in held)


def test_a_replay_makes_no_second_entry(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """After `kill -9` the journal brings events again that are stored already."""
    five(store, tmp_path)
    again = Ledger(tmp_path, alone=True)
    written(store, again, *map(a_decision, range(2, 7)))
    written(store, again, *map(a_decision, range(7)))

    assert store.column("SELECT count() FROM decision_ledger FINAL") == [7]
    assert store.column("SELECT uniqExact(EventId) FROM decision_ledger") == [7]
    assert problems(store, again) == []


def test_killed_before_the_head_was_noted(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """The store has an entry more than the file in the data directory knows: it counts."""
    ledger = five(store, tmp_path)
    noted = (tmp_path / FILE).read_bytes()
    written(store, ledger, a_decision(5))
    (tmp_path / FILE).write_bytes(noted)

    again = Ledger(tmp_path, alone=True)
    written(store, again, a_decision(5), a_decision(6))

    assert store.column("SELECT Seq FROM decision_ledger FINAL ORDER BY Seq") == list(range(1, 8))
    assert problems(store, again) == []


def test_killed_between_entry_and_event(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """The entry is there, its event comes again with the replay and is stored then."""
    ledger = Ledger(tmp_path, alone=True)
    ledger.record(store, [(a_decision(0), TRACE, TRACE)])
    assert problems(store, ledger) == []

    again = Ledger(tmp_path, alone=True)
    written(store, again, a_decision(0))

    assert store.column("SELECT count() FROM decision_ledger FINAL") == [1]
    assert problems(store, again) == []


class Failing:
    """A store whose inserts fail now and then: before they are made, or with the answer lost."""

    def __init__(self, opened: Store, outcomes: Sequence[str]) -> None:
        self._store = opened
        self._outcomes = list(outcomes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def insert_arrow(self, table: str, data: Any) -> None:
        outcome = self._outcomes.pop(0) if self._outcomes else ""
        if outcome == "before":
            raise StoreError("no")
        self._store.insert_arrow(table, data)
        if outcome == "after":
            raise StoreError("the answer was lost")
        if outcome == "permanent":
            raise StoreError("bad row", permanent=True)


def test_a_failed_write_is_repeated_as_it_was(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """Refused or in doubt, and with other events before it is repeated: no hole, no fork."""
    ledger = Ledger(tmp_path, alone=True)
    failing: Any = Failing(store, ["before", "after", "before"])
    for number in (0, 1, 2):
        with pytest.raises(StoreError):
            ledger.record(failing, [(a_decision(number), TRACE, TRACE)])
    ledger.record(failing, [(a_decision(3), TRACE, TRACE), (a_decision(0), TRACE, TRACE)])

    assert store.column("SELECT count() FROM decision_ledger FINAL") == [4]
    assert problems(store, ledger) == []


def test_a_ledger_that_cannot_be_written_costs_no_event(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """A permanent refusal of entries must not make dead letters of the events."""
    ledger = Ledger(tmp_path, alone=True)
    failing: Any = Failing(store, ["permanent"])

    with pytest.raises(StoreError, match="the decision ledger: bad row") as raised:
        ledger.record(failing, [(a_decision(0), TRACE, TRACE)])

    assert not raised.value.permanent


def test_two_collectors_have_two_chains(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """Each writes what it received; what another one entered is not entered again."""
    ledgers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        ledgers.append(Ledger(tmp_path / name, alone=False))
    written(store, ledgers[0], a_decision(0), a_decision(1))
    written(store, ledgers[1], a_decision(1), a_decision(2))
    written(store, ledgers[0], a_decision(2), a_decision(3))

    report = verified(store, [ledger.anchor for ledger in ledgers])

    assert report["ok"]
    assert {chain["chain_id"]: chain["entries"] for chain in report["chains"]} == {
        ledgers[0].anchor.chain_id: 3,
        ledgers[1].anchor.chain_id: 1,
    }


def test_retention_leaves_a_checkpoint(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """A head that retention removed is not a head that somebody removed."""
    ledger = five(store, tmp_path)
    now = time.time_ns()
    later = now + 3600 * SECOND
    assert ledger.prune(store, now - 3600 * SECOND, now) == 0
    assert ledger.prune(store, later, now) == 4
    written(store, ledger, a_decision(7))

    assert problems(store, ledger) == []
    seqs = store.column("SELECT Seq FROM decision_ledger FINAL ORDER BY Seq")
    assert seqs == [5, 6, 7]
    delete_row(store, "Seq = 5")
    assert problems(store, ledger) == [(5, "entry 5 is missing")]


def test_pruning_cut_short_is_no_problem(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """Killed between the checkpoint and the end of the removal: some of the removed are left."""
    ledger = five(store, tmp_path)
    rows_before = store.arrow("SELECT * FROM decision_ledger FINAL WHERE Seq IN (2, 4)")
    ledger.prune(store, time.time_ns() + 3600 * SECOND, time.time_ns())
    store.insert_arrow("decision_ledger", rows_before)

    assert problems(store, ledger) == []


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        (DECISION, {semconv.DECISION_KIND: "route"}, ("route", None)),
        (DECISION, {semconv.DECISION_KIND: "handoff"}, ("handoff", None)),
        (DECISION, {semconv.DECISION_KIND: "branch"}, None),
        (
            DECISION,
            {semconv.DECISION_KIND: "tool_choice", semconv.DECISION_OUTCOME: "block"},
            ("tool_choice", "block"),
        ),
        (
            DIRECTIVE,
            {semconv.DIRECTIVE_ACTION: "kill", semconv.DIRECTIVE_STATUS: "requested"},
            ("directive", "kill requested"),
        ),
        (FINDING, {semconv.FINDING_ACTION: "flag"}, None),
        (FINDING, {semconv.FINDING_ACTION: "kill"}, ("finding", "kill")),
        (
            FINDING,
            {semconv.FINDING_ACTION: "kill", semconv.FINDING_WITHDRAWN: "true"},
            ("finding", "withdrawn"),
        ),
        ("agentrun.feedback", {semconv.FEEDBACK_LABEL: "good"}, None),
    ],
)
def test_what_is_an_entry(
    store: Store,  # noqa: F811
    tmp_path: Path,
    name: str,
    attributes: dict[str, str],
    expected: tuple[str, str | None] | None,
) -> None:
    """Verdicts, commands and what was done about findings; not everyday choices and feedback."""
    ledger = Ledger(tmp_path, alone=True)
    written(store, ledger, make_event(name, START, trace_id=TRACE, attributes=attributes))

    found = [(entry["kind"], entry["outcome"]) for entry in documents(store, LedgerQuery())]

    assert found == ([] if expected is None else [expected])


def test_text_that_is_no_unicode_is_entered(store: Store, tmp_path: Path) -> None:  # noqa: F811
    """A lone surrogate is stored as U+FFFD: the digest is of what is stored."""
    ledger = Ledger(tmp_path, alone=True)
    written(store, ledger, a_decision(0, reason="odd \ud800 text"))

    assert problems(store, ledger) == []


def test_a_broken_file_says_what_to_do(tmp_path: Path) -> None:
    """Beginning a new chain by accident would hide that entries are missing."""
    (tmp_path / FILE).write_text("{}")

    with pytest.raises(ConfigError, match="restore the file from a backup"):
        Ledger(tmp_path, alone=True)
