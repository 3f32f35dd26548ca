"""Is a chain as it was written?  Pure: entries in, problems out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from collector.ledger.entry import GENESIS, Entry, content_digest, entry_hash, removed_upto
from otel_agentrun.step import Event

PROBLEMS_MAX: Final = 100
"""Problems that are listed of one chain; their number is always told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The last entry that a collector knows it wrote."""

    chain_id: str
    seq: int = 0
    hash: str = GENESIS


@dataclass(slots=True, kw_only=True)
class Chain:
    """Verifies one chain, entry by entry in order of `seq`."""

    chain_id: str
    entries: int = 0
    first_seq: int = 0
    last_seq: int = 0
    head: str = GENESIS
    found: int = 0
    """Problems in all."""
    problems: list[dict[str, Any]] = field(default_factory=list)
    anchor: Anchor | None = None
    """What the collector that writes this chain knows of it; `None` where nobody does."""
    _removed: tuple[int, str] = (0, GENESIS)
    """The last entry that retention removed, as the chain's newest checkpoint says."""

    def begin(self, checkpoints: Iterable[Entry]) -> None:
        """Checkpoints of the chain, which stand behind what they speak of."""
        for entry in checkpoints:
            told = removed_upto(entry)
            if told is not None and entry.hash == entry_hash(entry):
                self._removed = max(self._removed, told)
        self.last_seq, self.head = self._removed

    def take(self, entry: Entry) -> None:
        """The next entry, by (seq, event id)."""
        self.entries += 1
        self.first_seq = self.first_seq or entry.seq
        if entry_hash(entry) != entry.hash:
            self._problem(entry.seq, entry.event_id, "the entry was changed: its hash is another")
        if entry.seq <= self._removed[0]:
            return  # removing them was cut short: some may be left
        if entry.seq <= self.last_seq:
            self._problem(entry.seq, entry.event_id, "an entry was inserted: its place is taken")
            return
        if entry.seq > self.last_seq + 1:
            first, last = self.last_seq + 1, entry.seq - 1
            which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
            self._problem(first, "", f"{which} missing")
        elif entry.previous_hash != self.head:
            self._problem(
                entry.seq, entry.event_id,
                f"it does not follow entry {self.last_seq}: that one was replaced",
            )  # fmt: skip
        self.last_seq, self.head = entry.seq, entry.hash
        anchor = self.anchor
        if anchor is not None and anchor.seq == entry.seq and anchor.hash != entry.hash:
            self._problem(
                entry.seq, entry.event_id,
                "the chain was written anew: its collector remembers another entry here",
            )  # fmt: skip

    def event(self, entry: Entry, event: Event) -> None:
        """What an entry is about, where it is still stored."""
        if content_digest(event) != entry.content_digest:
            self._problem(entry.seq, entry.event_id, "the event it is about was changed")

    def end(self) -> None:
        """After the last entry."""
        if self.anchor is not None and self.anchor.seq > self.last_seq:
            first = self.last_seq + 1
            self._problem(
                first, "", f"entries {first} to {self.anchor.seq}, the newest, are missing"
            )

    def document(self) -> dict[str, Any]:
        return {
            "chain_id": self.chain_id,
            "entries": self.entries,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "removed_upto": self._removed[0],
            "head": self.head,
            "ok": self.found == 0,
            "problems_found": self.found,
            "problems": self.problems,
        }

    def _problem(self, seq: int, event_id: str, what: str) -> None:
        self.found += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append({"seq": seq, "event_id": event_id or None, "problem": what})


def verify(
    chain_id: str,
    entries: Iterable[Entry],
    *,
    checkpoints: Iterable[Entry] = (),
    events: Mapping[str, Event] | None = None,
    anchor: Anchor | None = None,
) -> dict[str, Any]:
    """A whole chain at once; `entries` by (seq, event id)."""
    chain = Chain(chain_id=chain_id, anchor=anchor)
    chain.begin(checkpoints)
    for entry in entries:
        chain.take(entry)
        event = (events or {}).get(entry.event_id)
        if event is not None:
            chain.event(entry, event)
    chain.end()
    return chain.document()
