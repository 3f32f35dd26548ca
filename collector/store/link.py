"""The way to a store that may not be there yet: opened on first use, retried after a failure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from collector.errors import StoreError
from collector.store import schema
from collector.store.client import CLOSE_SECS, Store
from collector.store.schema import Retention

log = logging.getLogger(__name__)


class StoreLink:
    """Gives the open store, with its schema applied.  Safe to use from any thread."""

    def __init__(self, open_store: Callable[[], Store], retention: Retention) -> None:
        self._open = open_store
        self._retention = retention
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._closed = False

    def get(self) -> Store:
        """Raises StoreError while the store cannot be reached, or its schema not be applied."""
        store = self._store
        if store is not None:
            return store
        with self._lock:
            if self._store is None:
                if self._closed:
                    raise StoreError("the store is closed")
                store = self._open()
                try:
                    applied = schema.apply(store, self._retention)
                    if self._closed:
                        raise StoreError("the store is closed")
                except BaseException:
                    store.close()
                    raise
                if applied:
                    log.info("schema_applied", extra={"migrations": ", ".join(applied)})
                self._store = store
            return self._store

    def close(self) -> None:
        """Whoever is opening it, or waits for a server that hangs, closes it itself."""
        self._closed = True
        if self._lock.acquire(timeout=CLOSE_SECS):
            if self._store is not None:
                self._store.close()
                self._store = None
            self._lock.release()
