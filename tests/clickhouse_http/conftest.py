"""A collector with a few runs, and what talks to its read endpoint."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.process import CollectorProcess

KEYS = {
    "reader": "reader-key-0123456789",
    "sender": "sender-key-0123456789",
    "tenant": "tenant-key-0123456789",
}
CONFIG = "auth:\n  keys:\n" + "".join(
    f"    - {{name: {name}, key_sha256: {sha256(KEYS[name].encode()).hexdigest()}, {rest}}}\n"
    for name, rest in (
        ("reader", "roles: [read]"),
        ("sender", "roles: [ingest]"),
        ("tenant", "roles: [read], workspace: acme"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    headers: dict[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes


def talk(
    port: int,
    sql: str | None = None,
    *,
    method: str = "POST",
    path: str = "/",
    headers: dict[str, str] | None = None,
    **parameters: str,
) -> Response:
    """One request on a connection of its own; a GET has the statement in its URL."""
    if method == "GET" and sql is not None:
        parameters["query"] = sql
    body = sql.encode() if sql is not None and method == "POST" else None
    target = f"{path}?{urlencode(parameters)}" if parameters else path
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Response(status=answer.status, headers=found, body=answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """Without keys; a query may take two seconds, and two run at a time."""
    folder = tmp_path_factory.mktemp("reads")
    with CollectorProcess(
        folder / "data",
        store_flush_secs=0.05,
        read_endpoint_query_secs_max=2,
        read_endpoint_waiting_max=4,
        read_endpoint_waiting_secs=0.5,
    ) as running:
        yield running


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """With keys."""
    folder: Path = tmp_path_factory.mktemp("locked")
    (folder / "agentrun.yaml").write_text(CONFIG)
    with CollectorProcess(folder / "data", config=folder / "agentrun.yaml") as running:
        yield running


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
