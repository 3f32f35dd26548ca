"""Both ends of a migration, opened.

chDB holds one folder per process, so that of two embedded ends the source gets a process of its
own; blocks travel between the two as Arrow.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol

import pyarrow as pa

from collector.errors import ConfigError, StoreError
from collector.store.client import Store
from collector.store.url import parse_url

CLOSE_SECS: Final = 10.0
OFFERED: Final = frozenset({"query", "arrow", "command", "insert_arrow"})


class End(Protocol):
    """What is asked of a store: a part of `Store`, or of one in another process."""

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]: ...

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table: ...

    def insert_arrow(self, table: str, data: pa.Table) -> None: ...


@contextmanager
def opened(
    source: str, target: str, *, database: str, cluster: str | None = None
) -> Iterator[tuple[End, Store]]:
    """Source and target.  `database` is used where a URL names none; `cluster` is the target's.

    Raises StoreError, ConfigError (no URL, or the same store twice).
    """
    one, other = parse_url(source), parse_url(target)
    if (one.shown, one.database or database) == (other.shown, other.database or database):
        raise ConfigError(
            f"both ends are {one}.\n  Why: nothing would be moved.\n  Fix: name another target."
        )
    if one.embedded and not os.path.isdir(one.path):
        raise ConfigError(
            f"{one}: there is no such folder.\n  Why: the data is read from there.\n"
            "  Fix: name the folder of an embedded store, as `agentrun up` prints it."
        )
    if not (one.embedded and other.embedded):
        with (
            Store.open(source, database=database) as read,
            Store.open(target, database=database, cluster=cluster) as written,
        ):
            yield read, written
        return
    with _InProcess(source, database) as elsewhere, Store.open(target, database=database) as here:
        yield elsewhere, here


class _InProcess:
    """A store that another process holds."""

    def __init__(self, url: str, database: str) -> None:
        """Raises StoreError."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, url, database), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("query", sql, parameters)
        return found

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        return self._ask("arrow", sql, parameters)

    def insert_arrow(self, table: str, data: pa.Table) -> None:
        self._ask("insert_arrow", table, data)

    def close(self) -> None:
        self._connection.close()
        self._process.join(CLOSE_SECS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> _InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            self._connection.send((method, arguments))
        except OSError as error:
            raise _gone() from error
        return self._answer()

    def _answer(self) -> Any:
        try:
            ok, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise _gone() from error
        if not ok:
            raise StoreError(*value)
        return value


def _gone() -> StoreError:
    return StoreError(
        "the process that reads the source has ended", "Run it again: it goes on where it was."
    )


def _serve(connection: Connection, url: str, database: str) -> None:
    """In the other process: answer until the connection ends."""
    try:
        store = Store.open(url, database=database)
    except StoreError as error:
        connection.send((False, (str(error), error.hint)))
        return
    with store:
        connection.send((True, None))
        while True:
            try:
                method, arguments = connection.recv()
            except (EOFError, OSError, KeyboardInterrupt):
                return
            assert method in OFFERED
            try:
                answer = (True, getattr(store, method)(*arguments))
            except StoreError as error:
                answer = (False, (str(error), error.hint))
            except KeyboardInterrupt:  # Ctrl-C goes to both; the other one says so
                return
            try:
                connection.send(answer)
            except OSError:
                return
