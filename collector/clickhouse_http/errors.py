"""Errors as ClickHouse answers them over HTTP: a code, a symbolic name, a sentence and a status.

Source: ClickHouse, src/Common/ErrorCodes.cpp, src/Server/HTTP/exceptionCodeToHTTPStatus.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STATUS_NAMES: Final[Mapping[int, str]] = {
    400: "BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE"
    " CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER"
    " CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 CANNOT_PARSE_UUID"
    " CANNOT_PARSE_INPUT_ASSERTION_FAILED DUPLICATE_COLUMN ILLEGAL_COLUMN THERE_IS_NO_COLUMN"
    " UNKNOWN_ELEMENT_IN_AST UNKNOWN_TYPE_OF_AST_NODE TOO_DEEP_AST TOO_BIG_AST"
    " UNEXPECTED_AST_STRUCTURE SYNTAX_ERROR INCORRECT_DATA TYPE_MISMATCH"
    " VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    401: "REQUIRED_PASSWORD",
    403: "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE ACCESS_DENIED",
    404: "UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE"
    " UNKNOWN_DATABASE UNKNOWN_SETTING UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_FORMAT"
    " UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_DATABASE_ENGINE UNKNOWN_TYPE_OF_QUERY UNKNOWN_ROLE",
    408: "TIMEOUT_EXCEEDED",
    411: "HTTP_LENGTH_REQUIRED",
    413: "QUERY_IS_TOO_LARGE",
    501: "NOT_IMPLEMENTED",
    503: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK",
}
STATUS: Final = {name: status for status, names in STATUS_NAMES.items() for name in names.split()}
"""HTTP status by error name; every other error is 500."""


class ServerError(Exception):
    """What a server answers instead of a result: ClickHouse's code, symbolic name and sentence."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.name = name

    @property
    def status(self) -> int:
        """Of the HTTP answer."""
        return STATUS.get(self.name, 500)


def error_headers(error: ServerError) -> dict[str, str]:
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "X-ClickHouse-Exception-Code": str(error.code),
    }
    if error.name == "REQUIRED_PASSWORD":
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return headers


def error_body(error: ServerError, version: str) -> bytes:
    """`Code: 62. DB::Exception: Syntax error (SYNTAX_ERROR) (version …)`, which clients parse."""
    body = f"Code: {error.code}. DB::Exception: {error} ({error.name}) (version {version})\n"
    return body.replace("DB::Exception: DB::Exception:", "DB::Exception:").encode()
