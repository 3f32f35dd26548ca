"""The chain of this collector: every decision that it stores gets one entry, once.

Entries are written before the events they are about: after a crash the journal brings the events
again, and their entries are found.  All entries that are not known to be stored are written
together, in one block and in order, so that a chain in the store never has a hole.  What the last
one was is also kept in the data directory: removing the newest rows from the store would otherwise
leave a shorter, flawless chain.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from collector.errors import ConfigError, StoreError
from collector.ledger.entry import GENESIS, Entry, checkpoint, entry_of, kind_and_outcome
from collector.ledger.verify import Anchor
from collector.store import rows
from collector.store.client import Store, chunks
from collector.store.filters import time_sql
from collector.store.schema import local_table
from otel_agentrun.step import Event

log = logging.getLogger(__name__)

KNOWN_MAX: Final = 50_000
"""Event ids of this chain's newest entries held in memory; older ones are asked of the store."""
FILE: Final = "ledger.json"


class Ledger:
    """One per collector.  Safe to use from any thread; every method may raise StoreError."""

    def __init__(self, data_dir: Path, *, alone: bool) -> None:
        """`alone`: no other collector writes to the store, so that what this one wrote is all.

        Raises ConfigError when the file in the data directory is not one of ours, OSError.
        """
        self._path = data_dir / FILE
        self._alone = alone
        self._lock = threading.Lock()
        self._anchor = read_anchor(self._path) or Anchor(chain_id=secrets.token_hex(16))
        self._seq, self._hash = 0, GENESIS
        self._loaded = False
        self._pending: dict[str, Entry] = {}
        """Event id -> entry that is not known to be stored, in order."""
        self._known: dict[str, None] = {}
        self._all_known = False
        self.entries = 0
        """Written by this process."""

    @property
    def anchor(self) -> Anchor:
        """The last entry that is known to be stored."""
        return self._anchor

    def record(self, store: Store, events: Iterable[tuple[Event, str, str]]) -> None:
        """Write the entries of those events, (event, run id, group id), that have none yet."""
        worthy = [(event, run) for event, run, _ in events if kind_and_outcome(event) is not None]
        if not worthy:
            return
        with self._lock, _Kept():
            self._load(store)
            worthy.sort(key=lambda pair: (pair[0].at_ns, pair[0].event_id))
            known = self._entered(store, {event.event_id for event, _ in worthy})
            for event, run_id in worthy:
                if event.event_id not in known and event.event_id not in self._pending:
                    self._append(
                        entry_of(
                            event,
                            run_id,
                            chain_id=self._anchor.chain_id,
                            seq=self._seq + 1,
                            previous_hash=self._hash,
                        )
                    )
            self._write(store)

    def prune(self, store: Store, before_ns: int, now_ns: int) -> int:
        """Remove the entries that were written before a time, leaving a checkpoint in the chain;
        how many went.  The newest entry always stays."""
        with self._lock, _Kept():
            self._load(store)
            found = store.query(
                "SELECT Seq, Hash FROM decision_ledger FINAL WHERE ChainId = %(chain)s"
                f" AND Seq < %(head)s AND ReceivedAt < toDateTime({time_sql(before_ns)})"
                " ORDER BY Seq DESC LIMIT 1",
                {"chain": self._anchor.chain_id, "head": self._seq},
            )
            if not found:
                return 0
            upto = found[0]["Seq"]
            self._append(
                checkpoint(
                    chain_id=self._anchor.chain_id,
                    seq=self._seq + 1,
                    previous_hash=self._hash,
                    at_ns=now_ns,
                    upto=upto,
                    upto_hash=found[0]["Hash"],
                )
            )
            self._write(store)
            given = {"chain": self._anchor.chain_id, "upto": upto}
            condition = "ChainId = %(chain)s AND Seq <= %(upto)s"
            removed = store.column(
                f"SELECT count() FROM decision_ledger FINAL WHERE {condition}", given
            )
            table = local_table("decision_ledger", store.cluster)
            store.command(
                f"ALTER TABLE {table} DELETE WHERE {condition}",
                given,
                settings={"mutations_sync": 2},
            )
            return int(removed[0])

    # ------------------------------------------------------------------ with the lock

    def _load(self, store: Store) -> None:
        """Once: where the chain ends, and what has entries."""
        if self._loaded:
            return
        given = {"chain": self._anchor.chain_id}
        newest = store.query(
            "SELECT Seq, Hash, EventId FROM decision_ledger FINAL WHERE ChainId = %(chain)s"
            f" ORDER BY Seq DESC LIMIT {KNOWN_MAX}",
            given,
        )
        # The store may have one more than the file knows: killed between the two.  Or fewer, where
        # somebody removed rows: the chain goes on behind the missing ones, so that it shows.
        self._seq, self._hash = self._anchor.seq, self._anchor.hash
        if newest and newest[0]["Seq"] > self._seq:
            self._seq, self._hash = newest[0]["Seq"], newest[0]["Hash"]
        self._known = {row["EventId"]: None for row in reversed(newest)}
        self._all_known = self._alone and len(newest) < KNOWN_MAX
        self._loaded = True

    def _entered(self, store: Store, event_ids: Collection[str]) -> set[str]:
        """Those that have an entry, in whatever chain."""
        known = {event_id for event_id in event_ids if event_id in self._known}
        if self._all_known:
            return known
        for ids in chunks(set(event_ids) - known - self._pending.keys()):
            known.update(
                store.column(
                    "SELECT DISTINCT EventId FROM decision_ledger WHERE EventId IN %(ids)s",
                    {"ids": ids},
                )
            )
        return known

    def _append(self, entry: Entry | None) -> None:
        assert entry is not None, "what is no entry was left out before"
        self._pending[entry.event_id] = entry
        self._seq, self._hash = entry.seq, entry.hash

    def _write(self, store: Store) -> None:
        if not self._pending:
            return
        entries = list(self._pending.values())
        store.insert_arrow("decision_ledger", rows.ledger_rows(entries))
        last = entries[-1]
        anchor = Anchor(chain_id=last.chain_id, seq=last.seq, hash=last.hash)
        write_anchor(self._path, anchor)
        self._anchor = anchor
        self._known |= dict.fromkeys(self._pending)
        while len(self._known) > KNOWN_MAX:
            self._known.pop(next(iter(self._known)))
            self._all_known = False
        self.entries += len(entries)
        self._pending.clear()


class _Kept:
    """A ledger that cannot be written is no fault of the events: they wait, and are not dropped."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, StoreError) and error.permanent:
            raise StoreError(f"the decision ledger: {error}", error.hint) from error
        if isinstance(error, OSError):
            raise StoreError(
                f"the decision ledger: {error}", "Make the data directory writable."
            ) from error


def read_anchor(path: Path) -> Anchor | None:
    """`None` where there is no file.  Raises ConfigError where it is not one of ours."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
        anchor = Anchor(
            chain_id=str(found["chain_id"]), seq=int(found["seq"]), hash=str(found["hash"])
        )
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path}: expected the place of this collector's decision ledger, got something else.\n"
            "  Why: without it nobody could tell whether the newest entries were removed.\n"
            "  Fix: restore the file from a backup, or delete it to begin a new chain."
        ) from None
    return anchor


def write_anchor(path: Path, anchor: Anchor) -> None:
    """Durable when it returns; readers find the old one or the new one.  Raises OSError."""
    draft = path.with_suffix(".new")
    text = json.dumps({"chain_id": anchor.chain_id, "seq": anchor.seq, "hash": anchor.hash})
    with draft.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
