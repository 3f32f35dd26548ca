"""The ledger as documents, and its verification, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from collector.ledger.entry import CHECKPOINT, Entry, reason_of
from collector.ledger.query import LedgerQuery
from collector.ledger.verify import Anchor, Chain
from collector.runs.document import rfc3339
from collector.store import rows
from collector.store.client import Store, chunks
from collector.store.filters import between
from collector.store.reader import EVENT_SELECT
from otel_agentrun.step import Event

PAGE: Final = 20_000
SELECT: Final = f"SELECT {rows.select_list(rows.LEDGER_COLUMNS)} FROM decision_ledger FINAL"


class StoredLedger:
    """`LedgerOperations` on a store."""

    def __init__(
        self,
        store: Callable[[], Store],
        anchors: Callable[[], Sequence[Anchor]] = tuple,
    ) -> None:
        """`anchors`: what collectors know of their own chains."""
        self._store = store
        self._anchors = anchors

    def entries(self, query: LedgerQuery) -> list[dict[str, Any]]:
        return documents(self._store(), query)

    def verify(self) -> dict[str, Any]:
        return verified(self._store(), self._anchors())


def documents(store: Store, query: LedgerQuery) -> list[dict[str, Any]]:
    """Entries by time; `reason` is there while the event is.  Raises StoreError."""
    condition = "1" + (" AND RunId = %(run)s" if query.run_id else "")
    limit = "" if query.limit is None else f" LIMIT {int(query.limit)}"
    found = rows.entries_of(
        store.arrow(
            f"{SELECT} WHERE {condition}{between(query.since_ns, query.until_ns)}"
            f" ORDER BY Timestamp DESC, ChainId DESC, Seq DESC{limit}",
            {"run": query.run_id},
        )
    )
    events = _events(store, found)
    return [_document(entry, events.get(entry.event_id)) for entry in reversed(found)]


def verified(store: Store, anchors: Sequence[Anchor] = ()) -> dict[str, Any]:
    """Every chain there is, each with what is wrong with it.  Raises StoreError.

    `anchors`: what collectors know of their own chains.
    """
    known = {anchor.chain_id: anchor for anchor in anchors if anchor.seq}
    ids = set(store.column("SELECT DISTINCT ChainId FROM decision_ledger")) | known.keys()
    chains = [_chain(store, chain_id, known.get(chain_id)) for chain_id in sorted(ids)]
    return {
        "ok": all(chain["ok"] for chain in chains),
        "entries": sum(chain["entries"] for chain in chains),
        "chains": chains,
    }


def _chain(store: Store, chain_id: str, anchor: Anchor | None) -> dict[str, Any]:
    chain = Chain(chain_id=chain_id, anchor=anchor)
    given: dict[str, Any] = {"chain": chain_id, "kind": CHECKPOINT}
    where = " WHERE ChainId = %(chain)s"
    chain.begin(rows.entries_of(store.arrow(f"{SELECT}{where} AND Kind = %(kind)s", given)))
    for entries in _pages(store, where, given):
        events = _events(store, entries)
        for entry in entries:
            chain.take(entry)
            if (event := events.get(entry.event_id)) is not None:
                chain.event(entry, event)
    chain.end()
    return chain.document()


def _pages(store: Store, where: str, given: dict[str, Any]) -> Iterator[list[Entry]]:
    """By (seq, event id)."""
    after: tuple[int, str] = (0, "")
    while True:
        at = {**given, "seq": after[0], "event": after[1]}
        found = rows.entries_of(
            store.arrow(
                f"{SELECT}{where} AND (Seq, EventId) > (%(seq)s, %(event)s)"
                f" ORDER BY Seq, EventId LIMIT {PAGE}",
                at,
            )
        )
        if not found:
            return
        yield found
        after = (found[-1].seq, found[-1].event_id)


def _events(store: Store, entries: Sequence[Entry]) -> dict[str, Event]:
    """The events that are still stored, by id."""
    found: dict[str, Event] = {}
    if not entries:
        return found
    period = between(min(e.at_ns for e in entries), max(e.at_ns for e in entries) + 1)
    for ids in chunks(entry.event_id for entry in entries):
        stored = store.arrow(f"{EVENT_SELECT} WHERE EventId IN %(ids)s{period}", {"ids": ids})
        found |= {event.event_id: event for event, _ in rows.events_of(stored)}
    return found


def _document(entry: Entry, event: Event | None) -> dict[str, Any]:
    return {
        "chain_id": entry.chain_id,
        "seq": entry.seq,
        "at": rfc3339(entry.at_ns),
        "kind": entry.kind,
        "outcome": entry.outcome or None,
        "run_id": entry.run_id or None,
        "trace_id": entry.trace_id or None,
        "span_id": entry.span_id or None,
        "actor": entry.actor or None,
        "rule": entry.rule or None,
        "reason": (reason_of(event) or None) if event else None,
        "policy_version": entry.policy_version or None,
        "rules_version": entry.rules_version or None,
        "event_id": entry.event_id,
        "reason_digest": entry.reason_digest or None,
        "content_digest": entry.content_digest,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }
