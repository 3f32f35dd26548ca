"""Asks the store what runs have drawn from budgets that they share, beside the fold thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, Final

from collector.errors import RetryableError, StoreError
from collector.runs.judge import RulesInForce
from collector.runs.windows import Wanted
from otel_agentrun.rules.budgets import WindowKey
from otel_agentrun.rules.schema import Budget

log = logging.getLogger(__name__)

AGAIN_SECS: Final = 10.0
"""How often runs of other collectors, and those that have left memory, are looked up."""

Load = Callable[[Budget, Wanted], Mapping[WindowKey, float]]
"""Sums of one budget's windows from the store.  Raises StoreError."""


class SharedBudgets:
    """Start with `start`, end with `stop`; does nothing while no rule has a window."""

    def __init__(
        self,
        rules: RulesInForce,
        load: Load,
        call: Callable[[Callable[[], Any]], Future[Any]],
        judge_again: Callable[[Collection[str]], None],
        *,
        again_secs: float = AGAIN_SECS,
    ) -> None:
        """`call` runs a function in the fold thread; there `judge_again` is told of traces."""
        self._rules = rules
        self._load = load
        self._call = call
        self._judge_again = judge_again
        self._again_secs = again_secs
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="shared-budgets", daemon=True)
        rules.windows.on_new = self._wake.set

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            is_new = self._wake.wait(self._again_secs)
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._ask(again=not is_new)
            except (StoreError, RetryableError) as error:  # local sums go on; asked again later
                log.warning("shared_budgets_not_read", extra={"reason": str(error)})
            except Exception:
                log.exception("shared_budgets_not_read")

    def _ask(self, *, again: bool) -> None:
        wanted: Wanted = self._call(lambda: self._rules.windows.wanted(again=again)).result()
        if not wanted:
            return
        sums: dict[WindowKey, float] = {}
        for rule in self._rules.ruleset.rules:
            own = {key: runs for key, runs in wanted.items() if key[0] == rule.name}
            if own and isinstance(rule, Budget):
                sums |= self._load(rule, own)

        def take_in() -> None:
            if traces := self._rules.windows.load(sums):
                self._judge_again(traces)

        self._call(take_in).result()
