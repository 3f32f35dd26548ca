"""Budgets that runs share for an hour, a day or a month: what the others have drawn.

That is what the store has of runs that are not folded here, and what was folded here since: the
store is asked again now and then, for the runs of other collectors.  No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from otel_agentrun.rules.budgets import WindowKey

__all__ = ["Wanted", "Windows"]

KEYS_MAX: Final = 100_000
"""Shared budgets in memory; past it those that were asked for longest ago are forgotten."""
Wanted = dict[WindowKey, frozenset[str]]
"""Budget -> runs that are not to be counted: they are folded here."""


class Shared:
    """One budget in one window."""

    __slots__ = ("here", "is_known", "is_used", "older", "stored", "waiting")

    def __init__(self) -> None:
        self.here: dict[str, float] = {}
        """Run id -> what it has drawn, of runs folded here since the store was asked last."""
        self.older: dict[str, float] = {}
        """The same, of those folded between the last two times: the store may not have them yet."""
        self.stored = 0.0
        """What all others have drawn."""
        self.is_known = False
        """The store has been asked."""
        self.is_used = False
        """A run drew from it since the store was asked."""
        self.waiting: set[str] = set()
        """A trace of each run that was judged without what the store has."""


class Windows:
    """Not thread-safe: one thread folds."""

    def __init__(self, on_new: Callable[[], None] = lambda: None) -> None:
        """`on_new` hears that the store is to be asked, soon."""
        self.on_new = on_new
        self._shared: dict[WindowKey, Shared] = {}

    def others(self, run_id: str, trace_id: str, key: WindowKey, own: float) -> float:
        """What other runs than this one, which has drawn `own`, have drawn from a budget.

        Where the store has not been asked it is what is known here, and `load` gives the trace back
        as one to be judged again.
        """
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = Shared()
            if len(self._shared) > KEYS_MAX:
                del self._shared[next(iter(self._shared))]
            self.on_new()
        shared.older.pop(run_id, None)
        shared.here[run_id] = own
        shared.is_used = True
        if not shared.is_known:
            shared.waiting.add(trace_id)
        here = sum(shared.here.values()) - own + sum(shared.older.values())
        return shared.stored + here

    def wanted(self, *, again: bool) -> Wanted:
        """What to ask the store; `again`: also about budgets that it was asked about before, and
        that are in use."""
        found: Wanted = {}
        for key, shared in self._shared.items():
            if shared.is_known and not (again and shared.is_used):
                continue
            # What was folded before the last time is in the store by now.
            shared.older, shared.here = shared.here, {}
            shared.is_used = False
            found[key] = frozenset(shared.older)
        return found

    def load(self, sums: Mapping[WindowKey, float]) -> set[str]:
        """Take in what the store has; traces of runs to be judged again."""
        waiting: set[str] = set()
        for key, amount in sums.items():
            shared = self._shared.get(key)
            if shared is not None:
                shared.stored, shared.is_known = amount, True
                waiting |= shared.waiting
                shared.waiting.clear()
        return waiting
