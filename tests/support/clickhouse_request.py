"""One HTTP request to a ClickHouse server: who asks, for what, and the answer as a response.

Source: ClickHouse, src/Server/HTTPHandler.cpp and src/Server/HTTP/exceptionCodeToHTTPStatus.cpp.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from tests.support.clickhouse_encoding import chosen, decoded, encoded, form_fields
from tests.support.clickhouse_engine import Answer
from tests.support.clickhouse_statement import ServerError, Statement, parse

TRANSPORT: Final = re.compile(
    "query|user|password|database|default_format|query_id|session_id|session_timeout|session_check"
    "|close_session|quota_key|role|compress|decompress|buffer_size|wait_end_of_query"
    "|client_protocol_version|stacktrace|param_.*"
)
"""Parameters that the HTTP interface itself consumes; every other one is a setting."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False
    """Reset the connection in the middle of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    target: str
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A request to `/`, read and understood."""

    statement: Statement
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    default_format: str
    query_id: str
    session_id: str
    encoding: str
    """Of the answer."""


def read_query(request: Request, *, compresses: bool) -> Query:
    """`compresses` is the server's default of `enable_http_compression`.  Raises ServerError."""
    headers = request.headers
    parameters = dict(parse_qsl(urlsplit(request.target).query, keep_blank_values=True))
    body = b""
    if headers.get_content_type() == "multipart/form-data":
        parameters |= form_fields(request.body, headers["Content-Type"])
    else:
        body = decoded(request.body, headers.get("Content-Encoding", ""))
    if parameters.get("compress", "0") != "0" or parameters.get("decompress", "0") != "0":
        raise ServerError(48, "NOT_IMPLEMENTED", "ClickHouse's own block compression over HTTP")
    text = parameters.get("query", "").encode()
    settings = {key: value for key, value in parameters.items() if not TRANSPORT.fullmatch(key)}
    if request.method == "GET":
        settings["readonly"] = "2"
    compresses = settings.get("enable_http_compression", str(int(compresses))) in ("1", "true")
    return Query(
        statement=parse(b"\n".join(filter(None, (text, body)))),
        database=parameters.get("database") or headers["X-ClickHouse-Database"] or "",
        settings=settings,
        parameters={
            key.removeprefix("param_"): value
            for key, value in parameters.items()
            if key.startswith("param_")
        },
        default_format=parameters.get("default_format")
        or headers["X-ClickHouse-Format"]
        or "TabSeparated",
        query_id=parameters.get("query_id") or str(uuid.uuid4()),
        session_id=parameters.get("session_id", ""),
        encoding=chosen(headers.get("Accept-Encoding", "")) if compresses else "",
    )


def authenticate(request: Request, users: Mapping[str, str]) -> None:
    """Check user and password wherever a client may put them.  Raises ServerError."""
    headers = request.headers
    parameters = dict(parse_qsl(urlsplit(request.target).query))
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user, password = "", ""
    elif "X-ClickHouse-User" in headers:
        user, password = headers["X-ClickHouse-User"], headers.get("X-ClickHouse-Key", "")
    else:
        user, password = parameters.get("user", "default"), parameters.get("password", "")
    if users.get(user) != password:
        raise ServerError(
            516,
            "AUTHENTICATION_FAILED",
            f"{user}: Authentication failed: password is incorrect, "
            "or there is no user with such name.",
        )


def answer_response(query: Query, answer: Answer, timezone: str, elapsed_ns: int) -> Response:
    statement = query.statement
    summary = {
        "read_rows": answer.read_rows,
        "read_bytes": answer.read_bytes,
        "written_rows": answer.written_rows,
        "written_bytes": answer.written_bytes,
        "total_rows_to_read": 0,
        "result_rows": answer.written_rows if statement.is_insert else answer.read_rows,
        "result_bytes": len(answer.body),
        "elapsed_ns": elapsed_ns,
    }
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "X-ClickHouse-Server-Display-Name": "clickhouse-double",
        "X-ClickHouse-Query-Id": query.query_id,
        "X-ClickHouse-Timezone": timezone,
        "X-ClickHouse-Summary": json.dumps({key: str(value) for key, value in summary.items()}),
    }
    if statement.is_read:  # only what has a result has a format
        headers["X-ClickHouse-Format"] = statement.format or query.default_format
    if query.encoding:
        headers["Content-Encoding"] = query.encoding
    return Response(status=200, headers=headers, body=encoded(answer.body, query.encoding))


def error_response(error: ServerError, version: str) -> Response:
    body = f"Code: {error.code}. DB::Exception: {error} ({error.name}) (version {version})\n"
    body = body.replace("DB::Exception: DB::Exception:", "DB::Exception:")
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "X-ClickHouse-Exception-Code": str(error.code),
    }
    if error.name == "REQUIRED_PASSWORD":
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return Response(status=STATUS.get(error.name, 500), headers=headers, body=body.encode())


def gateway_response(status: int) -> Response:
    """Of a proxy that cannot reach the server."""
    html = f"<html><body><h1>{status}</h1>no healthy upstream</body></html>"
    return Response(status=status, headers={"Content-Type": "text/html"}, body=html.encode())


def plain_response(status: int, text: str) -> Response:
    return Response(status=status, headers={"Content-Type": "text/plain"}, body=text.encode())
