"""Both receivers on free loopback ports of a background event loop, in front of a fake intake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from anyio.from_thread import BlockingPortal

from collector.model import Signal
from collector.receiver.auth import KeyEntry, Keyring
from collector.receiver.exchange import Exchange
from collector.receiver.grpc_server import GrpcReceiver
from collector.receiver.http_server import HttpReceiver
from collector.receiver.intake import Encoding, ExportResult
from collector.receiver.settings import GrpcSettings, HttpSettings, Limits, TlsSettings
from collector.receiver.stats import ReceiverStats

TRACE_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True, slots=True)
class Call:
    """One export request as the pipeline saw it."""

    signal: Signal
    body: bytes
    encoding: Encoding
    peer: str
    ingest: Mapping[str, str]


@dataclass(slots=True)
class FakeIntake:
    """Keeps what it is given and answers as told."""

    calls: list[Call] = field(default_factory=list)
    result: ExportResult = field(default_factory=lambda: ExportResult(received=1))
    error: Exception | None = None
    wait_secs: float = 0.0
    running: int = 0
    running_max: int = 0

    async def export(
        self,
        signal: Signal,
        body: bytes,
        *,
        encoding: Encoding,
        peer: str,
        ingest: Mapping[str, str],
    ) -> ExportResult:
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            self.calls.append(Call(signal, body, encoding, peer, dict(ingest)))
            if self.wait_secs:
                await asyncio.sleep(self.wait_secs)
            if self.error is not None:
                raise self.error
            return self.result
        finally:
            self.running -= 1


@dataclass(slots=True)
class Edge:
    """Running receivers, and what a test looks at."""

    portal: BlockingPortal
    intake: FakeIntake
    exchange: Exchange
    grpc: GrpcReceiver
    http: HttpReceiver
    grpc_port: int
    http_port: int
    done: Sequence[Future[None]]

    @property
    def stats(self) -> ReceiverStats:
        return self.exchange.stats

    @property
    def grpc_target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def outcomes(self) -> dict[str, int]:
        """Outcome -> requests, over both servers."""
        found: dict[str, int] = {}
        for key, count in self.stats.requests.items():
            found[key.outcome] = found.get(key.outcome, 0) + count
        return found

    def stop(self, grace_secs: float) -> None:
        self.portal.call(self.grpc.stop, grace_secs)
        self.portal.call(self.http.stop, grace_secs)
        for future in self.done:
            future.result(5)


def eventually(condition: Callable[[], bool], secs: float = 5.0) -> bool:
    """Whether `condition` holds within `secs`: the server learns later that a client went away."""
    deadline = time.monotonic() + secs
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@contextmanager
def serving(
    portal: BlockingPortal,
    *,
    keys: Sequence[KeyEntry] = (),
    limits: Limits | None = None,
    tls: TlsSettings | None = None,
    body_secs: float = 5.0,
    head_secs: float = 5.0,
    allowed_hosts: tuple[str, ...] = (),
    allowed_origins: tuple[str, ...] = (),
    extra_handlers: Sequence[grpc.GenericRpcHandler] = (),
) -> Iterator[Edge]:
    limits = limits or Limits()
    intake = FakeIntake()

    async def build() -> tuple[Exchange, GrpcReceiver, HttpReceiver]:
        exchange = Exchange(intake, Keyring(keys), ReceiverStats(), limits)
        grpc_settings = GrpcSettings(port=0, tls=tls, limits=limits)
        http_settings = HttpSettings(
            port=0,
            tls=tls,
            limits=limits,
            body_secs=body_secs,
            head_secs=head_secs,
            allowed_hosts=allowed_hosts,
            allowed_origins=allowed_origins,
        )
        return (
            exchange,
            GrpcReceiver(grpc_settings, exchange, extra_handlers=extra_handlers),
            HttpReceiver(http_settings, exchange),
        )

    exchange, grpc_receiver, http_receiver = portal.call(build)
    grpc_done, grpc_port = portal.start_task(grpc_receiver.serve)
    http_done, http_port = portal.start_task(http_receiver.serve)
    edge = Edge(
        portal,
        intake,
        exchange,
        grpc_receiver,
        http_receiver,
        grpc_port,
        http_port,
        (grpc_done, http_done),
    )
    try:
        yield edge
    finally:
        edge.stop(0.0)
