"""Promise 2: received + recovered = stored + refused + deduplicated + dead-lettered + pending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.accounting import REASONS_MAX, SCOPES_MAX, Accounting
from collector.model import Signal

ARRIVALS: list[Callable[[Accounting, Signal, int], None]] = [
    lambda a, s, n: a.accepted(s, n),
    lambda a, s, n: a.recovered(s, n),
]
ENDS: list[Callable[[Accounting, Signal, int], None]] = [
    lambda a, s, n: a.stored(s, n),
    lambda a, s, n: a.deduplicated(s, n),
    lambda a, s, n: a.dead_lettered(s, "row_refused", n),
    lambda a, s, n: a.dropped(s, "erased", n),
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Signal)),
            st.integers(0, 1000),
            st.sampled_from(ARRIVALS),
            st.sampled_from(ENDS),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_the_identity_holds_after_every_transition(
    moves: list[
        tuple[
            Signal,
            int,
            Callable[[Accounting, Signal, int], None],
            Callable[[Accounting, Signal, int], None],
            bool,
        ]
    ],
) -> None:
    """Whatever order items come and end in, none appears from nowhere and none vanishes."""
    accounting = Accounting()
    for signal, items, arrive, end, ends in moves:
        arrive(accounting, signal, items)
        accounting.check()
        accounting.refused(signal, "bad_id", 1)
        accounting.check()
        if ends:
            end(accounting, signal, items)
            accounting.check()

    pending = sum(terms.pending for terms in accounting.snapshot().terms.values())
    assert pending == sum(items for _, items, _, _, ends in moves if not ends)


def test_no_reader_sees_the_two_sides_differ_while_threads_count() -> None:
    """ "At every moment": a scrape in the middle of any transition still adds up."""
    accounting = Accounting()
    stop = threading.Event()

    def work(seed: int) -> None:
        random = Random(seed)
        for _ in range(3_000):
            items = random.randrange(1, 512)
            random.choice(ARRIVALS)(accounting, Signal.TRACES, items)
            random.choice(ENDS)(accounting, Signal.TRACES, items)
            accounting.refused(Signal.TRACES, "bad_id", 1)

    torn: list[AssertionError] = []

    def watch() -> None:
        while not stop.is_set():
            try:
                accounting.check()
            except AssertionError as error:
                torn.append(error)

    watcher = threading.Thread(target=watch)
    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join(timeout=30)
    stop.set()
    watcher.join(timeout=30)

    assert not torn
    terms = accounting.snapshot().terms[Signal.TRACES]
    assert terms.pending == 0
    assert terms.refused["bad_id"] == 12_000


def test_an_item_that_ends_without_having_arrived_is_found_by_check() -> None:
    """The check of the other tests can fail."""
    accounting = Accounting()
    accounting.stored(Signal.LOGS, 1)

    with pytest.raises(AssertionError, match="logs"):
        accounting.check()


def test_a_snapshot_does_not_change_afterwards() -> None:
    """A scrape renders one moment, not several."""
    accounting = Accounting()
    accounting.accepted(Signal.TRACES, 5)
    before = accounting.snapshot()
    accounting.refused(Signal.TRACES, "bad_id", 2)
    accounting.flushed(0.02)

    assert before.terms[Signal.TRACES].received == 5
    assert not before.terms[Signal.TRACES].refused
    assert sum(before.flushes.counts) == 0


def test_reasons_are_bounded() -> None:
    """A reason made from input cannot grow memory or the number of time series."""
    accounting = Accounting()
    for number in range(1_000):
        accounting.refused(Signal.TRACES, f"reason {number}", 1)

    refused = accounting.snapshot().terms[Signal.TRACES].refused
    assert len(refused) == REASONS_MAX + 1
    assert refused["other"] == 1_000 - REASONS_MAX
    accounting.check()


def test_scopes_of_unrecognized_spans_are_bounded() -> None:
    """Senders name scopes: past the limit they are one time series."""
    accounting = Accounting()
    for number in range(SCOPES_MAX + 10):
        accounting.unrecognized({f"scope {number}": 2})

    found = accounting.snapshot().unrecognized
    assert len(found) == SCOPES_MAX + 1
    assert found["other"] == 20


def test_the_document_names_every_term() -> None:
    """`agentrun ingest` prints these, by signal, with reasons where there are any."""
    accounting = Accounting()
    accounting.accepted(Signal.TRACES, 3)
    accounting.stored(Signal.TRACES, 3)
    accounting.refused(Signal.TRACES, "bad_id", 1)

    document = accounting.snapshot().document()
    assert document["traces"] == {
        "received": 4,
        "recovered": 0,
        "stored": 3,
        "refused": 1,
        "deduplicated": 0,
        "dead_lettered": 0,
        "pending": 0,
        "refused_by_reason": {"bad_id": 1},
    }
    assert document["logs"]["received"] == 0
