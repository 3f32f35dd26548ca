"""Run documents as they change: from the pipeline's threads to everyone who follows.

A follower that reads too slowly loses the oldest updates, and is told how many; the pipeline never
waits for one.  A run's next update carries the whole run again, so nothing but freshness is lost.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from collector.api.values import Document

QUEUE_MAX: Final = 1024
"""Updates that wait for one follower."""
FOLLOWERS_MAX: Final = 64


class Follower:
    """One reader of updates; belongs to the event loop that made it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Document] = deque()
        self._missed = 0
        self._closed = False
        self._ready = asyncio.Event()

    async def next(self, wait_secs: float) -> tuple[list[Document], int] | None:
        """(updates in order, number missed before them), both empty after `wait_secs` of silence;
        `None` once the source has closed and everything was read."""
        try:
            async with asyncio.timeout(wait_secs):
                await self._ready.wait()
        except TimeoutError:
            return [], 0
        if self._closed and not self._waiting:
            return None
        if not self._closed:
            self._ready.clear()
        updates, missed = list(self._waiting), self._missed
        self._waiting.clear()
        self._missed = 0
        return updates, missed

    def offer(self, updates: Sequence[Document]) -> None:
        """From any thread."""
        self._call(self._append, updates)

    def close(self) -> None:
        """From any thread."""
        self._call(self._end)

    def _call(self, *call: object) -> None:
        try:
            self._loop.call_soon_threadsafe(*call)  # type: ignore[arg-type]  # (callback, *args)
        except RuntimeError:  # the loop has closed: nobody reads any more
            self._closed = True

    def _append(self, updates: Sequence[Document]) -> None:
        self._waiting.extend(updates)
        while len(self._waiting) > QUEUE_MAX:
            self._waiting.popleft()
            self._missed += 1
        self._ready.set()

    def _end(self) -> None:
        self._closed = True
        self._ready.set()


class Updates:
    """Where the pipeline publishes run documents, and `/v1/events` reads them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followers: set[Follower] = set()
        self._closed = False

    @property
    def wanted(self) -> bool:
        """False while nobody follows: documents need not be made."""
        return bool(self._followers)

    def publish(self, runs: Sequence[Document]) -> None:
        """Hand run documents to every follower.  From any thread; never waits."""
        with self._lock:
            followers = tuple(self._followers)
        for follower in followers:
            follower.offer(runs)

    @contextmanager
    def follow(self) -> Iterator[Follower | None]:
        """A follower of what is published from now on; `None` when there are too many."""
        follower = Follower(asyncio.get_running_loop())
        with self._lock:
            if len(self._followers) >= FOLLOWERS_MAX:
                admitted = False
            else:
                admitted = True
                self._followers.add(follower)
            if self._closed:
                follower.close()
        try:
            yield follower if admitted else None
        finally:
            with self._lock:
                self._followers.discard(follower)

    def close(self) -> None:
        """End every follower: the collector is shutting down."""
        with self._lock:
            self._closed = True
            followers = tuple(self._followers)
        for follower in followers:
            follower.close()
