"""One HTTP request to a ClickHouse server: who asks, for what, and the answer as a response."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl, urlsplit

from collector.clickhouse_http.encoding import encoded
from collector.clickhouse_http.errors import ServerError, error_body, error_headers
from collector.clickhouse_http.request import HttpQuery, answer_headers, read_http_query
from tests.support.clickhouse_engine import Answer
from tests.support.clickhouse_statement import Statement, parse


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
    http: HttpQuery


def read_query(request: Request, *, compresses: bool) -> Query:
    """`compresses` is the server's default of `enable_http_compression`.  Raises ServerError."""
    found = read_http_query(
        request.method,
        urlsplit(request.target).query,
        request.headers,
        request.body,
        compresses=compresses,
    )
    return Query(statement=parse(found.text), http=found)


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
    headers = answer_headers(
        query.http, name="clickhouse-double", timezone=timezone, summary=summary
    )
    if statement.is_read:  # only what has a result has a format
        headers["X-ClickHouse-Format"] = statement.format or query.http.default_format
    return Response(status=200, headers=headers, body=encoded(answer.body, query.http.encoding))


def error_response(error: ServerError, version: str) -> Response:
    return Response(
        status=error.status, headers=error_headers(error), body=error_body(error, version)
    )


def gateway_response(status: int) -> Response:
    """Of a proxy that cannot reach the server."""
    html = f"<html><body><h1>{status}</h1>no healthy upstream</body></html>"
    return Response(status=status, headers={"Content-Type": "text/html"}, body=html.encode())


def plain_response(status: int, text: str) -> Response:
    return Response(status=status, headers={"Content-Type": "text/plain"}, body=text.encode())
