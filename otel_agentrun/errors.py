"""How a step ended, from the exception that left it: end state, typed error, message."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError as FutureCancelled
from dataclasses import dataclass

from otel_agentrun.step import Status
from otel_agentrun.typed_errors import typed_error

__all__ = ["FAILED", "Failure", "failure"]

FAILED = (Status.ERROR, Status.TIMEOUT)
"""End states that are failures; the others are skipped, cancelled and fine."""

CANCELLATIONS = (
    asyncio.CancelledError,
    FutureCancelled,
    GeneratorExit,
    KeyboardInterrupt,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`error_type` is one of `typed_errors.TYPES`, else the name of the class."""

    status: Status
    error_type: str = ""
    message: str = ""


def failure(error: BaseException) -> Failure:
    """Never raises, whatever `str(error)` does."""
    if isinstance(error, SystemExit):
        status = Status.SUCCESS if error.code in (None, 0) else Status.CANCELLED
        return Failure(status=status)
    if isinstance(error, CANCELLATIONS):
        return Failure(status=Status.CANCELLED)
    name = type(error).__name__
    message = message_of(error)
    typed = typed_error(name, message[:2000], _http_status(error))
    if not typed and isinstance(error, TimeoutError):
        typed = "timeout"
    if not typed and isinstance(error, ConnectionError):
        typed = "connection_error"
    status = {"timeout": Status.TIMEOUT, "cancelled": Status.CANCELLED}.get(typed, Status.ERROR)
    return Failure(status=status, error_type=typed or name, message=message)


def message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _http_status(error: BaseException) -> int | None:
    """The status that clients of HTTP APIs keep on their exceptions, or on their response."""
    for holder in (error, _read(error, "response")):
        for name in ("status_code", "status", "code"):
            found = _read(holder, name)
            if type(found) is int and 100 <= found < 600:
                return found
    return None


def _read(holder: object, name: str) -> object:
    """Properties of exceptions may raise anything."""
    try:
        return getattr(holder, name, None)
    except Exception:
        return None
