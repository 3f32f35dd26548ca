"""One request to ClickHouse's HTTP interface, taken apart, and the headers of its answer.

Source: ClickHouse, src/Server/HTTPHandler.cpp.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import parse_qsl

from collector.clickhouse_http.encoding import DECODED_BYTES_MAX, chosen, decoded, form_fields
from collector.clickhouse_http.errors import ServerError

TRANSPORT: Final = re.compile(
    "query|user|password|database|default_format|query_id|session_id|session_timeout|session_check"
    "|close_session|quota_key|role|compress|decompress|buffer_size|wait_end_of_query"
    "|client_protocol_version|stacktrace|param_.*"
)
"""Parameters that the HTTP interface itself consumes; every other one is a setting."""


class Headers(Protocol):
    """Names without case."""

    def get(self, name: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpQuery:
    """A request to `/`, understood."""

    text: bytes
    """The statement: of the URL, then of the body."""
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Of `{name:Type}` in the statement."""
    transport: Mapping[str, str] = field(default_factory=dict)
    """Every parameter of the URL or the form, as it came."""
    default_format: str
    query_id: str
    session_id: str
    encoding: str
    """Of the answer."""


def url_parameters(query_string: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query_string, keep_blank_values=True, max_num_fields=1000))
    except ValueError as error:
        raise ServerError(36, "BAD_ARGUMENTS", "The URL has too many parameters") from error


def read_http_query(
    method: str,
    query_string: str,
    headers: Headers,
    body: bytes,
    *,
    compresses: bool,
    bytes_max: int = DECODED_BYTES_MAX,
) -> HttpQuery:
    """`compresses` is the server's default of `enable_http_compression`.  Raises ServerError."""
    parameters = url_parameters(query_string)
    content_type = headers.get("Content-Type", "")
    body = decoded(body, headers.get("Content-Encoding", ""), bytes_max)
    if content_type.lower().startswith("multipart/form-data"):
        parameters |= form_fields(body, content_type)
        body = b""
    if parameters.get("compress", "0") != "0" or parameters.get("decompress", "0") != "0":
        raise ServerError(48, "NOT_IMPLEMENTED", "ClickHouse's own block compression over HTTP")
    settings = {key: value for key, value in parameters.items() if not TRANSPORT.fullmatch(key)}
    if method == "GET":
        settings["readonly"] = "2"
    compresses = settings.get("enable_http_compression", str(int(compresses))) in ("1", "true")
    text = parameters.get("query", "").encode()
    return HttpQuery(
        text=b"\n".join(filter(None, (text, body))),
        database=parameters.get("database") or headers.get("X-ClickHouse-Database", ""),
        settings=settings,
        parameters={
            key.removeprefix("param_"): value
            for key, value in parameters.items()
            if key.startswith("param_")
        },
        transport=parameters,
        default_format=parameters.get("default_format")
        or headers.get("X-ClickHouse-Format", "")
        or "TabSeparated",
        query_id=parameters.get("query_id") or str(uuid.uuid4()),
        session_id=parameters.get("session_id", ""),
        encoding=chosen(headers.get("Accept-Encoding", "")) if compresses else "",
    )


def answer_headers(
    query: HttpQuery, *, name: str, timezone: str, summary: Mapping[str, int]
) -> dict[str, str]:
    """Without the format, which only what has a result has."""
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "X-ClickHouse-Server-Display-Name": name,
        "X-ClickHouse-Query-Id": query.query_id,
        "X-ClickHouse-Timezone": timezone,
        "X-ClickHouse-Summary": json.dumps({key: str(value) for key, value in summary.items()}),
    }
    if query.encoding:
        headers["Content-Encoding"] = query.encoding
    return headers
