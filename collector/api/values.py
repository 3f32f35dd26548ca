"""What API, command line, control and stats say to each other: documents, times, bad requests.

Imports nothing heavy: the command line starts with it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from collector.errors import PermanentError

Document = dict[str, Any]
"""A JSON object; its fields are those of docs/api.md."""
TEXT_MAX: Final = 1024
"""Characters of a filter value, a feedback name or label."""
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)
_AGO: Final = re.compile(r"(\d{1,9})([smhdw])\Z", re.ASCII)
_SECONDS_MAX: Final = 9_223_372_036
"""Int64 nanoseconds end in the year 2262."""
_UNIT_SECS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class RequestError(PermanentError):
    """400: the request can never succeed as it is; `hint` says what would."""

    def __init__(self, message: str, hint: str = "", reason: str = "bad_request") -> None:
        super().__init__(message, reason)
        self.hint = hint


class NotFoundError(RequestError):
    """404: there is no such run (or it is not the caller's to see)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, "not_found")


class ConflictError(RequestError):
    """409: it was right once, and what it is about has changed meanwhile."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, "conflict")


def parse_time(text: str, now_ns: int) -> int:
    """RFC 3339 with an offset, or an age such as `15m`, `2h`, `7d`; as Unix nanoseconds.

    Raises ValueError with a sentence that says what is accepted.
    """
    if ago := _AGO.match(text):
        return max(0, now_ns - int(ago[1]) * _UNIT_SECS[ago[2]] * 1_000_000_000)
    if parts := _TIME.match(text):
        date, clock, fraction, offset = parts.groups()
        offset = "+00:00" if offset in "Zz" else offset
        try:
            moment = datetime.fromisoformat(f"{date}T{clock}{offset}")
        except ValueError as error:
            raise ValueError(f"{text!r} is no time: {error}") from None
        elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
        seconds = elapsed.days * 86_400 + elapsed.seconds
        if not 0 <= seconds < _SECONDS_MAX:
            raise ValueError(f"{text!r} is out of range: 1970 to 2262 can be stored")
        return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
    raise ValueError(
        f"{text!r} is no time: use RFC 3339 such as 2025-01-31T08:00:00Z, or an age such as "
        "15m, 2h or 7d"
    )


def format_time(time_ns: int) -> str:
    """RFC 3339 in UTC with nine decimals."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
