"""Errors as JSON: `{"error": {"code", "message", "hint"}}`, by what the caller does next."""

from __future__ import annotations

import logging
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from collector.api.values import Document, RequestError
from collector.errors import (
    ForbiddenError,
    OverloadedError,
    PermanentError,
    RetryableError,
    StoreError,
    TooLargeError,
    UnauthenticatedError,
)

log = logging.getLogger(__name__)

STATUS: Final = {
    "not_found": 404,
    "conflict": 409,
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


def answer_errors(app: FastAPI) -> None:
    """Every error of an application in the one shape; a bug is logged and the process goes on."""

    async def ours(request: Request, error: Exception) -> Response:
        return answer(error)

    for kind in (PermanentError, RetryableError, StoreError):
        app.add_exception_handler(kind, ours)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        problems = [
            f"{'.'.join(str(part) for part in each['loc'] if part != 'body') or 'body'}: "
            f"{each['msg']}"
            for each in error.errors()
        ]
        return answer(RequestError("; ".join(problems), "/openapi.json describes the request."))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        message = f"{request.method} {request.url.path}: {error.detail}"
        content = error_document(code, message, "/openapi.json lists what there is.")
        return JSONResponse(content, error.status_code, headers=error.headers)

    async def bug(request: Request, error: Exception) -> Response:
        log.error("request_failed", exc_info=error, extra={"path": request.url.path})
        hint = "This is a bug of the collector; its log has the details."
        return JSONResponse(error_document("internal", "the request failed", hint), 500)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, bug)
