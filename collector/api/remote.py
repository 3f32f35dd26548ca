"""`Operations` through a running collector's API, with nothing but the standard library and orjson:
the command line must start fast."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from collector.api.remote_control import RemoteApprovals, RemoteControl, RemoteLedger
from collector.api.service import Feedback, RunQuery, Selector
from collector.api.values import Document, NotFoundError, RequestError
from collector.errors import ForbiddenError, StoreError, UnauthenticatedError

if TYPE_CHECKING:
    from collector.dashboards.stats import StatQuery

TIMEOUT_SECS: Final = 120.0
"""For one answer: erasing waits for mutations.  `/v1/events` pings more often than this."""


class UnreachableError(Exception):
    """No collector answers at this URL."""


class RemoteOperations:
    """Raises UnreachableError besides what `Operations` names."""

    def __init__(self, url: str, *, api_key: str = "", tls: ssl.SSLContext | None = None) -> None:
        """`url` is `http://host:port` or `https://…`, with a path when a proxy adds one.

        Raises RequestError for any other form.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise RequestError(
                f"{url!r} is no URL of a collector", "Use http://HOST:PORT, such as the default."
            )
        self.url = url
        self._host, self._port = parts.hostname, port
        self._base = parts.path.rstrip("/")
        self._key = api_key
        self._tls = tls
        if parts.scheme == "https" and tls is None:
            self._tls = ssl.create_default_context()

    def runs(self, query: RunQuery) -> list[Document]:
        found: list[Document] = self._ask("GET", f"/v1/runs?{urlencode(query.parameters())}")
        return found

    def run(self, run_id: str, workspace: str = "") -> Document | None:
        """`workspace` follows from the API key, whatever is given here."""
        try:
            shown: Document = self._ask("GET", f"/v1/runs/{quote(run_id, safe='')}")
        except NotFoundError:
            return None
        return shown

    def explain(self, run_id: str, workspace: str = "") -> Document | None:
        """`workspace` follows from the API key, whatever is given here."""
        try:
            document: Document = self._ask("GET", f"/v1/runs/{quote(run_id, safe='')}/explain")
        except NotFoundError:
            return None
        return document

    def delete(self, selector: Selector, *, actor: str = "") -> Document:
        """`actor` is the API key's name, whatever is given here."""
        if not selector.run_ids:
            erased: Document = self._ask(
                "DELETE", f"/v1/runs?{urlencode(selector.parameters())}", {}
            )
            return erased
        erased = {}
        for run_id in selector.run_ids:
            each: Document = self._ask("DELETE", f"/v1/runs/{quote(run_id, safe='')}", {})
            erased = add_up(erased, each)
        return erased

    def feedback(self, feedback: Feedback, *, actor: str = "") -> Document:
        """`actor` is the API key's name, whatever is given here."""
        body = {
            "run_id": feedback.run_id,
            "name": feedback.name,
            "score": feedback.score,
            "label": feedback.label or None,
            "comment": feedback.comment or None,
        }
        event: Document = self._ask("POST", "/v1/feedback", body)
        return event

    def rules(self) -> Document:
        found: Document = self._ask("GET", "/v1/rules")
        return found

    def backtest(self, rules: str, query: RunQuery) -> Document:
        path = f"/v1/rules/backtest?{urlencode(query.parameters())}"
        report: Document = self._ask("POST", path, {"rules": rules})
        return report

    def suggest(self, query: RunQuery, percentile: float, margin: float) -> Document:
        given = [*query.parameters(), ("percentile", f"{percentile:g}"), ("margin", f"{margin:g}")]
        found: Document = self._ask("GET", f"/v1/rules/suggest?{urlencode(given)}")
        return found

    def stats(self, stat: StatQuery) -> Document:
        """`stat.workspace` follows from the API key, whatever is given here."""
        path = f"/v1/stats/{quote(stat.name, safe='')}?{urlencode(stat.parameters())}"
        found: Document = self._ask("GET", path)
        return found

    @property
    def control(self) -> RemoteControl:
        return RemoteControl(self._ask)

    @property
    def approvals(self) -> RemoteApprovals:
        return RemoteApprovals(self._ask)

    @property
    def ledger(self) -> RemoteLedger:
        return RemoteLedger(self._ask)

    def doctor(self) -> list[Document]:
        findings: list[Document] = self._ask("GET", "/v1/doctor")
        return findings

    def tail(self, missed: Callable[[int], None]) -> Iterator[Document]:
        """Run documents as they change, until the collector stops.  `missed` hears how many updates
        were left out because this reader was too slow."""
        with self._connect() as connection:
            response = self._send(connection, "GET", "/v1/events", None)
            if response.status != 200:
                raise self._error(response.status, response.read())
            name = ""
            while line := self._line(response):
                field, _, value = line.rstrip(b"\r\n").partition(b": ")
                if field == b"event":
                    name = value.decode()
                elif field == b"data" and name == "run":
                    yield orjson.loads(value)
                elif field == b"data" and name == "missed":
                    missed(orjson.loads(value)["missed"])

    def _ask(self, method: str, path: str, body: Document | None = None) -> Any:
        with self._connect() as connection:
            response = self._send(connection, method, path, body)
            try:
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise UnreachableError(f"{self.url} broke off its answer: {error}") from error
            if response.status >= 300:
                raise self._error(response.status, content)
            try:
                return orjson.loads(content)
            except ValueError:
                raise UnreachableError(f"{self.url} is no collector: it sent no JSON") from None

    def _connect(self) -> _Connection:
        return _Connection(self._host, self._port, self._tls)

    def _send(
        self, connection: _Connection, method: str, path: str, body: Document | None
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json, text/event-stream"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else orjson.dumps(body)
        try:
            connection.http.request(method, self._base + path, content, headers)
            return connection.http.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnreachableError(f"no collector answers at {self.url}: {said}") from error

    def _line(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.readline()
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{self.url} broke off: {error}") from error

    def _error(self, status: int, content: bytes) -> Exception:
        try:
            error = orjson.loads(content)["error"]
            message, hint = str(error["message"]), str(error["hint"] or "")
        except (ValueError, KeyError, TypeError):
            return UnreachableError(f"{self.url} is no collector: it answered HTTP {status}")
        if status == 401:
            return UnauthenticatedError(message)
        if status == 403:
            return ForbiddenError(message)
        if status == 404:
            return NotFoundError(message, hint)
        if status < 500 and status != 429:
            return RequestError(message, hint)
        return StoreError(message, hint)


class _Connection:
    """One HTTP connection for one question."""

    def __init__(self, host: str, port: int | None, tls: ssl.SSLContext | None) -> None:
        self.http: http.client.HTTPConnection
        if tls is None:
            self.http = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECS)
        else:
            self.http = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECS, context=tls)

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.http.close()


def add_up(left: Document, right: Document) -> Document:
    """Two answers of erasing as one: numbers are added, lists joined, the rest kept."""
    total = dict(left)
    for name, value in right.items():
        if name in total and isinstance(value, int | float | list):
            total[name] = total[name] + value
        else:
            total[name] = value
    return total
