"""Errors as JSON: `{"error": {"code", "message", "hint"}}`, by what the caller does next."""

from __future__ import annotations

from typing import Final

from starlette.responses import JSONResponse, Response

from collector.api.service import Document
from collector.errors import (
    ForbiddenError,
    OverloadedError,
    PermanentError,
    RetryableError,
    StoreError,
    TooLargeError,
    UnauthenticatedError,
)

STATUS: Final = {
    "not_found": 404,
    "content_type": 415,
}
"""HTTP status of a PermanentError by its reason, where the class does not decide."""

HINTS: Final = {
    413: "Send less at once.",
    429: "Nothing is wrong with the request: send it again after the delay.",
    503: "Send it again later; /readyz says what is wrong.",
}


def error_document(code: str, message: str, hint: str = "") -> Document:
    return {"error": {"code": code, "message": message, "hint": hint or None}}


def status_of(error: Exception) -> int:
    """The HTTP status of an error of ours; 500 for anything else."""
    match error:
        case UnauthenticatedError():
            return 401
        case ForbiddenError():
            return 403
        case TooLargeError():
            return 413
        case PermanentError():
            return STATUS.get(error.reason, 400)
        case OverloadedError():
            return 429
        case RetryableError() | StoreError():
            return 503
    return 500


def answer(error: Exception) -> Response:
    """The response for an error of ours (see `collector.errors`)."""
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="agentrun"'
    if isinstance(error, RetryableError):
        headers["Retry-After"] = str(max(1, round(error.retry_secs)))
    code = "store_unavailable" if isinstance(error, StoreError) else getattr(error, "reason", "")
    hint = getattr(error, "hint", "") or HINTS.get(status, "")
    return JSONResponse(
        error_document(code or "internal", str(error), hint), status_code=status, headers=headers
    )
