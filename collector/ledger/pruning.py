"""Retention of the ledger: its own chain, now and then, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from collector.errors import StoreError
from collector.ledger.chain import Ledger
from collector.store.client import Store

log = logging.getLogger(__name__)

DAY_NS: Final = 86_400 * 1_000_000_000
FIRST_SECS: Final = 60.0
EVERY_SECS: Final = 3600.0


class Pruning:
    """Start with `start`; entries older than `days` go, with a checkpoint in their place."""

    def __init__(self, ledger: Ledger, store: Callable[[], Store], *, days: int) -> None:
        self._ledger = ledger
        self._store = store
        self._days = days
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _run(self) -> None:
        pause = FIRST_SECS
        while not self._stopping.wait(pause):
            pause = EVERY_SECS
            now_ns = time.time_ns()
            try:
                gone = self._ledger.prune(self._store(), now_ns - self._days * DAY_NS, now_ns)
            except StoreError as error:  # the next time is early enough
                log.warning("ledger_not_pruned", extra={"reason": str(error)})
            else:
                if gone:
                    log.info("ledger_pruned", extra={"entries": gone})
