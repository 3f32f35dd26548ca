"""What a failure of the store means: a StoreError that says what an operator can do.

Error codes: ClickHouse, src/Common/ErrorCodes.cpp.
"""

from __future__ import annotations

import re
from typing import Final

from clickhouse_connect.driver.exceptions import Error

from collector.errors import StoreError
from collector.store.url import StoreUrl

CODE: Final = re.compile(r"\bCode: (\d+)")
GATEWAY: Final = re.compile(r"HTTP status (?:404|5\d\d), server response: <")
DETAIL_MAX: Final = 500

BAD_ROWS: Final = frozenset({6, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 131, 349, 407, 469, 636})
"""The rows cannot be stored as they are: parse, type, range and overflow errors."""

SCHEMA_HINT: Final = (
    "A table or column of this version is missing. For a database that was dropped or emptied run "
    "`agentrun schema apply`; else add what `agentrun schema print` has. Writing resumes by itself."
)
READ_ONLY_HINT: Final = (
    "The database user may only read, or the table is read-only. Give the collector's user INSERT, "
    "SELECT, CREATE and ALTER on its database; for replicas, check ClickHouse Keeper."
)
AUTHENTICATION_HINT: Final = (
    "ClickHouse refused user or password. Check the store URL "
    "(clickhouse://user:password@host:port/database), with special characters percent-encoded."
)
DISK_HINT: Final = (
    "The store's disk is full. Free space or shorten the retention, then `agentrun schema apply`; "
    "writing resumes by itself."
)
BUSY_HINT: Final = "ClickHouse cannot keep up or is short of memory; the collector tries again."
TIMEOUT_HINT: Final = "ClickHouse answers too slowly. Check its load; the collector tries again."
REFUSED_HINT: Final = "Is ClickHouse running, and does the store URL name its HTTP port (8123)?"
GATEWAY_HINT: Final = (
    "Something between here and ClickHouse answered, such as a proxy without a healthy server "
    "behind it, or the store URL names another service's port."
)
UNKNOWN_HINT: Final = (
    "See ClickHouse's own log. What was acknowledged waits in the journal; nothing is lost."
)
LOCKED_HINT: Final = (
    "An embedded store belongs to one process at a time. While a collector runs, use "
    "`agentrun --collector URL ...` (the default without --store), or stop the collector first."
)
ONE_PATH_HINT: Final = "One process can hold one embedded store: close the first, or use its path."
CLUSTER_HINT: Final = "Check the cluster's name in the config, and ClickHouse Keeper."

HINTS: Final = {
    **dict.fromkeys((10, 16, 36, 47, 60, 81), SCHEMA_HINT),
    **dict.fromkeys((164, 242, 497), READ_ONLY_HINT),
    **dict.fromkeys((192, 193, 194, 516), AUTHENTICATION_HINT),
    **dict.fromkeys((243,), DISK_HINT),
    **dict.fromkeys((202, 241, 252), BUSY_HINT),
    **dict.fromkeys((159, 209, 210), TIMEOUT_HINT),
    **dict.fromkeys((170, 279, 701, 999), CLUSTER_HINT),
}


def store_error(error: Exception, url: StoreUrl) -> StoreError:
    """Translate whatever the client raised."""
    text = str(error)
    if (cause := str(error.__cause__ or "")) not in text:
        text = f"{text} {cause}"
    code = _code(error, text)
    lower = text.lower()
    if "initializing embeddedserver" in lower or "cannot lock file" in lower:
        return StoreError(f"{url} cannot be opened: another process holds it", LOCKED_HINT)
    if "already" in lower and "different path" in lower:
        return StoreError(f"{url}: this process has another embedded store open", ONE_PATH_HINT)
    if "no space left" in lower or "not enough space" in lower:
        return StoreError(f"{url}: no space left on the device", DISK_HINT)
    if code is None and "read timed out" in lower:
        return StoreError(f"{url} does not answer: {_brief(text)}", TIMEOUT_HINT)
    if code is None and GATEWAY.search(text):
        return StoreError(f"{url}: {_brief(text)}", GATEWAY_HINT)
    if code is None and _is_connection_failure(lower):
        return StoreError(f"{url} cannot be reached: {_brief(text)}", REFUSED_HINT)
    permanent = code in BAD_ROWS
    hint = HINTS.get(code or 0, "" if permanent else UNKNOWN_HINT)
    return StoreError(f"{url}: {_brief(text)}", hint, permanent=permanent)


def _code(error: Exception, text: str) -> int | None:
    if isinstance(error, Error) and error.code is not None:
        return int(error.code)
    found = CODE.search(text)
    return int(found[1]) if found else None


def _is_connection_failure(lower: str) -> bool:
    return any(
        sign in lower
        for sign in (
            "refused",
            "connection",
            "timed out",
            "unreachable",
            "resolve",
            "name or service",
        )
    )


def _brief(text: str) -> str:
    """The engine's sentence without stack traces; row data may follow it and is cut away."""
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= DETAIL_MAX else line[:DETAIL_MAX] + "…"
