"""The embedded engine as a server has it: a connection per request, errors as a server words them.

A connection costs 0.2 ms and starts with the engine's defaults, so nothing that one request sets
reaches the next one.  A process has one engine with one path; where the process already has one
open (the collector's store), it is shared.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import chdb

from collector.clickhouse_http.errors import ServerError

MEMORY: Final = ":memory:"
OPEN_PATH: Final = re.compile(r"already initialized with path '([^']*)'")
ERROR: Final = re.compile(r"Code: (\d+)\. ?(.*)", re.DOTALL)
NAME: Final = re.compile(r"\(([A-Z][A-Z0-9_]+)\)(?: \(version [^)]*\)+)?\s*$")
SETTING: Final = re.compile(r"[A-Za-z_]\w*")
DEFAULT_COMPRESSION: Final = (
    "SELECT default FROM system.settings WHERE name = 'enable_http_compression'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A finished statement."""

    body: bytes = b""
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0


class Engine:
    """Keeps the engine open until `close`; safe to use from any thread."""

    def __init__(self, path: str | None = None) -> None:
        """Open `path` (a folder or `:memory:`), or whatever this process has open if it is None."""
        os.environ["TZ"] = "UTC"  # chDB takes the zone of its process; the collector's store is UTC
        time.tzset()
        self.path, self._anchor = _connect(path)
        self.version = self.text("SELECT version()")
        self.timezone = self.text("SELECT timezone()")
        self.compresses = self.text(DEFAULT_COMPRESSION) == "1"

    def close(self) -> None:
        """Let go of the engine; it ends with the last connection of the process."""
        self._anchor.close()

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection of its own.  Raises ServerError for whatever the engine refuses in it."""
        connection = _open(self.path)
        try:
            yield connection
        except RuntimeError as error:
            raise server_error(error) from error
        finally:
            connection.close()

    def text(self, sql: str, database: str = "") -> str:
        """Run one statement as the engine's owner; its result as tab-separated lines."""
        return self.query(sql.encode(), database=database).body.decode().removesuffix("\n")

    def name_of(self, code: int) -> str:
        """The symbolic name of an error code, such as NOT_ENOUGH_SPACE of 243."""
        return self.text(f"SELECT errorCodeToName({code})")

    def query(
        self,
        sql: bytes,
        *,
        database: str = "",
        settings: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        default_format: str = "TabSeparated",
    ) -> Answer:
        """Run it on a connection of its own.  Raises ServerError."""
        with self.connection() as connection:
            prepare(connection, database, settings)
            return answer(connection, sql, default_format, parameters)


def prepare(connection: Any, database: str, settings: Mapping[str, str] | None) -> None:
    """In one SET, so that `readonly` may be among the settings."""
    if database:
        connection.query(f"USE {identifier(database)}")
    if settings:
        connection.query(f"SET {_assignments(settings)}")


def answer(
    connection: Any, sql: bytes, default_format: str, parameters: Mapping[str, str] | None
) -> Answer:
    result = connection.query(sql, default_format, params=dict(parameters or {}))
    return Answer(
        body=result.bytes() or b"",
        read_rows=result.rows_read(),
        read_bytes=result.bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
    )


def _open(path: str) -> Any:
    return chdb.connect(path)  # type: ignore[no-untyped-call]  # chDB publishes no types


def _connect(path: str | None) -> tuple[str, Any]:
    wanted = MEMORY if path is None else path
    if wanted != MEMORY:
        wanted = os.path.realpath(wanted)
    try:
        return wanted, _open(wanted)
    except RuntimeError as error:
        shared = OPEN_PATH.search(str(error))
        if path is not None or shared is None:
            raise
        return shared[1], _open(shared[1])


def server_error(error: Exception) -> ServerError:
    """chDB puts words of its own before `Code:`; a server does not."""
    found = ERROR.search(str(error))
    if found is None:
        return ServerError(1001, "STD_EXCEPTION", f"DB::Exception: {error}")
    name = NAME.search(found[2])
    message = found[2].rstrip()
    if name:
        message = message[: name.start()].rstrip()
    return ServerError(int(found[1]), name[1] if name else "UNKNOWN_EXCEPTION", message)


def _assignments(settings: Mapping[str, str]) -> str:
    for name in settings:
        if not SETTING.fullmatch(name):
            raise ServerError(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    return ", ".join(f"{name} = {literal(value)}" for name, value in settings.items())


def identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
