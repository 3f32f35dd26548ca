"""Error classes by what the caller does next; `receiver/status.py` maps them to OTLP."""

from __future__ import annotations

from dataclasses import dataclass


class ConfigError(Exception):
    """Do not start.  The message holds every problem found, one report each."""


class PermanentError(Exception):
    """400 / INVALID_ARGUMENT: what was sent can never succeed; do not resend."""

    def __init__(self, message: str, reason: str = "malformed") -> None:
        super().__init__(message)
        self.reason = reason
        """Bounded label for metrics."""


class RetryableError(Exception):
    """503 / UNAVAILABLE: resend the same request later."""

    def __init__(self, message: str, reason: str = "unavailable", retry_secs: float = 1.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_secs = retry_secs


class OverloadedError(RetryableError):
    """429 / RESOURCE_EXHAUSTED with a delay: journal or queue is full."""


class TooLargeError(PermanentError):
    """413 / RESOURCE_EXHAUSTED without a delay: the request is over a size limit."""

    def __init__(self, message: str, reason: str = "too_large") -> None:
        super().__init__(message, reason)


class UnauthenticatedError(PermanentError):
    """401 / UNAUTHENTICATED."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "unauthenticated")


class ForbiddenError(PermanentError):
    """403 / PERMISSION_DENIED: the key lacks the role."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "forbidden")


class StoreError(Exception):
    """The store did not take or give data; `hint` says what an operator can do."""

    def __init__(self, message: str, hint: str = "", *, permanent: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.permanent = permanent
        """True when resending the same rows can never succeed (a row is bad)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Items of one request that were refused, for `partial_success` and metrics."""

    reason: str
    count: int
    message: str
