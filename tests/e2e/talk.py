"""Talking to a collector as its users do: OTLP over gRPC and HTTP, the API, the command line."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.e2e.otlp import Request
from tests.support import warm
from tests.support.process import CollectorProcess

TIMEOUT_SECS: Final = 30.0
JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"

SERVICES: Final[Mapping[type, tuple[str, str, Any]]] = {
    ExportTraceServiceRequest: ("trace.v1.TraceService", "traces", ExportTraceServiceResponse),
    ExportLogsServiceRequest: ("logs.v1.LogsService", "logs", ExportLogsServiceResponse),
    ExportMetricsServiceRequest: (
        "metrics.v1.MetricsService",
        "metrics",
        ExportMetricsServiceResponse,
    ),
}

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Talk:
    """One collector, asked under one API key (or none)."""

    collector: CollectorProcess
    key: str = ""
    tls: ssl.SSLContext | None = None
    credentials: grpc.ChannelCredentials | None = None
    _channels: list[grpc.Channel] = field(default_factory=list)

    def export(self, request: Request, **metadata: str) -> Any:
        """Over gRPC; `_` in names of metadata stands for `-`.  Raises grpc.RpcError."""
        service, _, response = SERVICES[type(request)]
        return response.FromString(self.call(service, request.SerializeToString(), **metadata))

    def call(self, service: str, body: bytes, **metadata: str) -> bytes:
        """Bytes to an Export method.  Raises grpc.RpcError."""
        target = f"localhost:{self.collector.ports['grpc']}"
        pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        if self.key:
            pairs.append(("authorization", f"Bearer {self.key}"))
        with (
            grpc.insecure_channel(target)
            if self.credentials is None
            else grpc.secure_channel(target, self.credentials)
        ) as channel:
            method = f"/opentelemetry.proto.collector.{service}/Export"
            found: bytes = channel.unary_unary(method)(body, metadata=pairs, timeout=TIMEOUT_SECS)
            return found

    def post(
        self,
        request: Request | bytes,
        *,
        path: str = "",
        media_type: str = PROTOBUF,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Over OTLP/HTTP, as curl does."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        if not path:
            assert not isinstance(request, bytes)
            path = f"/v1/{SERVICES[type(request)][1]}"
        given = {"Content-Type": media_type, **(headers or {})}
        return self._ask("http", "POST", path, body, given)

    def api(
        self,
        path: str,
        *,
        method: str = "GET",
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The HTTP API; a body is sent as JSON."""
        given = {} if method == "GET" else {"Content-Type": JSON}
        content = None if body is None else json.dumps(body).encode()
        return self._ask("api", method, path, content, {**given, **(headers or {})})

    def get(self, path: str) -> Any:
        """The JSON document at a path that must be there."""
        answer = self.api(path)
        assert answer.status == 200, answer.body
        return answer.document

    def run(self, run_id: str) -> dict[str, Any]:
        """`{run, steps, events}` once everything acknowledged is in the store."""
        self.settle()
        shown: dict[str, Any] = self.get(f"/v1/runs/{run_id}")
        return shown

    def runs(self, query: str = "") -> list[dict[str, Any]]:
        """Run documents once everything acknowledged is in the store."""
        self.settle()
        found: list[dict[str, Any]] = self.get(f"/v1/runs?{query}")
        return found

    def terms(self, signal: str = "traces") -> dict[str, int]:
        """The terms of promise 2."""
        found: dict[str, int] = {}
        for line in self.api("/metrics").body.decode().splitlines():
            name, _, rest = line.partition("{")
            if name.startswith("agentrun_items_") and f'signal="{signal}"' in rest:
                term = name.removeprefix("agentrun_items_").removesuffix("_total")
                found[term] = found.get(term, 0) + int(float(rest.rpartition(" ")[2]))
        return found

    def settle(self) -> None:
        """Wait until nothing is pending."""
        signals = ("traces", "logs", "events")
        eventually(lambda: all(self.terms(name)["pending"] == 0 for name in signals))

    def _ask(
        self, port: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        given = dict(headers)
        if self.key:
            given["Authorization"] = f"Bearer {self.key}"
        number = self.collector.ports[port]
        connection = (
            http.client.HTTPConnection("127.0.0.1", number, timeout=TIMEOUT_SECS)
            if self.tls is None
            else http.client.HTTPSConnection(
                "127.0.0.1", number, timeout=TIMEOUT_SECS, context=self.tls
            )
        )
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            content = response.read()
            return Answer(response.status, dict(response.headers), content)
        finally:
            connection.close()

    def agentrun(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The command line against this collector."""
        url = f"http://127.0.0.1:{self.collector.ports['api']}"
        return agentrun("--collector", url, *words, check=check, key=self.key)


def agentrun(
    *words: str,
    check: bool = True,
    key: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """The command line as a process."""
    environment = {**os.environ, **(env or {})}
    if key:
        environment["AGENTRUN_API_KEY"] = key
    done = warm.run(words, environment, timeout)
    assert not check or done.returncode == 0, done.stderr
    return done


def eventually(found: Callable[[], T], secs: float = 20.0) -> T:
    """The first value of `found` that is true; fails when none comes in time."""
    deadline = time.monotonic() + secs
    while not (value := found()):
        assert time.monotonic() < deadline, f"still {value!r} after {secs} s"
        time.sleep(0.02)
    return value
