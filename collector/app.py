"""Wiring: the collector with its listeners, and what else the command line runs in its process."""

from __future__ import annotations

import gc
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from collector import logs, settings
from collector.api.app import create_app
from collector.api.health import Health
from collector.api.local import LocalOperations
from collector.api.metrics import Metrics
from collector.api.server import serve_api
from collector.api.service import Document, Operations
from collector.collector import Collector
from collector.config import Config
from collector.errors import OverloadedError, PermanentError
from collector.model import Signal
from collector.receiver.exchange import Exchange
from collector.receiver.grpc_server import GrpcReceiver
from collector.receiver.http_server import HttpReceiver
from collector.receiver.intake import Encoding
from collector.receiver.otlp_json import iter_requests
from collector.receiver.stats import ReceiverStats
from collector.receiver.tls import ssl_context

log = logging.getLogger(__name__)

GRACE_SECS = 5.0
DRAIN_SECS = 15.0
INGEST_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the collector listens, once it does."""

    grpc: int
    http: int
    api: int


def serve(config: Config) -> None:
    """Run a collector until SIGINT or SIGTERM.

    Raises ConfigError (journal, TLS), OSError (ports), StoreError (an embedded store that is held).
    """
    logs.configure(config.log.level, config.log.format)
    # Open runs are hundreds of thousands of objects without cycles (a forgotten group unties its
    # own): looking through them for garbage again and again cost a third of the fold's time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    with opened(config, decoders=config.receiver.decoders) as collector:
        _run(partial(_until_told, collector, _announce))


def _run(main: Callable[..., object]) -> None:
    anyio.run(main, backend_options={"use_uvloop": sys.platform != "win32"})  # type: ignore[arg-type]


@contextmanager
def opened(config: Config, *, decoders: int = 0) -> Iterator[Collector]:
    """A collector without listeners; closing it writes what it has."""
    collector = Collector(config, decoders=decoders)
    try:
        yield collector
    finally:
        collector.close(DRAIN_SECS)


async def _until_told(collector: Collector, ready: Callable[[Config, Ports], None]) -> None:
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            listeners = Listeners(collector)
            ready(collector.config, await listeners.start(tasks))
            async for number in signals:
                log.info("stopping", extra={"signal": signal.Signals(number).name})
                break
            await listeners.stop()
        tasks.cancel_scope.cancel()


def _announce(config: Config, ports: Ports) -> None:
    host = config.api.host
    print(  # noqa: T201  # what a person who started it wants to see
        f"otel-agentrun is running.\n"
        f"  OTLP/gRPC  {config.receiver.grpc.host}:{ports.grpc}\n"
        f"  OTLP/HTTP  http://{config.receiver.http.host}:{ports.http}\n"
        f"  API        http://{host}:{ports.api}/v1/runs   (also /metrics, /readyz)\n"
        f"  Store      {config.store.url}\n"
        f"  See runs   agentrun runs list\n"
        f"Ctrl-C stops it.",
        flush=True,
    )


class Listeners:
    """OTLP/gRPC, OTLP/HTTP and the API of one collector."""

    def __init__(self, collector: Collector) -> None:
        config = collector.config
        self._collector = collector
        keyring = settings.keyring(config)
        stats = ReceiverStats()
        self._exchange = Exchange(
            collector.intake, keyring, stats, settings.receiver_limits(config)
        )
        self._grpc = GrpcReceiver(settings.grpc(config), self._exchange)
        self._http = HttpReceiver(settings.http(config), self._exchange)
        checks = collector.checks()
        self._health = Health(checks)
        self._api = create_app(
            LocalOperations(collector, collector, checks=checks.items()),
            health=self._health,
            metrics=Metrics(collector.accounting, gauges=collector.gauges(), receiver=stats),
            updates=collector.updates,
            version=version("otel-agentrun"),
            keyring=keyring,
            allowed_hosts=config.api.allowed_hosts,
            allowed_origins=config.api.allowed_origins,
        )

    async def start(self, tasks: TaskGroup) -> Ports:
        """Returns once all are bound."""
        config = self._collector.config
        tls = settings.tls(config.api.tls)
        api = partial(
            serve_api,
            self._api,
            host=config.api.host,
            port=config.api.port,
            tls=ssl_context(tls) if tls else None,
            before_stop=self._collector.updates.close,
        )
        return Ports(
            grpc=await tasks.start(self._grpc.serve),
            http=await tasks.start(self._http.serve),
            api=await tasks.start(api),
        )

    async def stop(self) -> None:
        """Refuse what is new, let what is under way end."""
        self._health.stop()
        self._exchange.refuse()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._grpc.stop, GRACE_SECS)
            tasks.start_soon(self._http.stop, GRACE_SECS)


# ---------------------------------------------------------------------- without listeners


@contextmanager
def operations(config: Config) -> Iterator[Operations]:
    """The API's operations on a store that no collector holds."""
    with _aside(config) as collector:
        yield LocalOperations(collector, collector, checks=collector.checks().items())


@contextmanager
def _aside(config: Config) -> Iterator[Collector]:
    """A collector whose journal is in a temporary folder: the work ends with this process."""
    logs.configure("warning", config.log.format)
    with tempfile.TemporaryDirectory(prefix="agentrun-") as folder:
        key = config.data_dir / "redaction.key"
        if key.is_file():  # equal values are to get equal marks, whoever ingests them
            shutil.copy(key, folder)
        with opened(replace(config, data_dir=Path(folder))) as collector:
            yield collector


def ingest(
    config: Config, files: Sequence[Path], *, progress: Callable[[int, int], None]
) -> Document:
    """Files of OTLP through the same pipeline, into the store; then all their runs are closed.

    Returns `{"signals": terms of promise 2 by signal, "runs": runs written}`.  Raises
    PermanentError for a file that is no OTLP, OSError, StoreError.
    """
    with _aside(config) as collector:
        _run(partial(_ingest, collector, files, progress))
        pipeline = collector.pipeline
        pipeline.call(pipeline.drain).result()
        pipeline.call(pipeline.close_runs).result()
        pipeline.call(pipeline.drain).result()
        return {
            "signals": collector.accounting.snapshot().document(),
            "runs": collector.pipeline.runs_written,
        }


async def _ingest(
    collector: Collector, files: Sequence[Path], progress: Callable[[int, int], None]
) -> None:
    source = _requests(files, progress)
    turn = anyio.Lock()

    async def send_all() -> None:
        while True:
            async with turn:
                found = await to_thread.run_sync(next, source, None)
            if found is None:
                return
            await _send(collector, *found)

    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(INGEST_AT_ONCE):
                tasks.start_soon(send_all)
    except* PermanentError as group:
        raise group.exceptions[0] from None


def _requests(
    files: Sequence[Path], progress: Callable[[int, int], None]
) -> Iterator[tuple[Path, Signal, Encoding, bytes]]:
    """The export requests of all files, in order."""
    total = sum(path.stat().st_size for path in files)
    done = 0
    for path in files:
        for signal_, encoding, body in iter_requests(path):
            done += len(body)
            progress(min(done, total), total)
            yield path, signal_, encoding, body


async def _send(
    collector: Collector, path: Path, signal_: Signal, encoding: Encoding, body: bytes
) -> None:
    """Export one request, waiting while the journal is full."""
    while True:
        try:
            await collector.intake.export(
                signal_, body, encoding=encoding, peer=str(path), ingest={}
            )
        except OverloadedError as error:
            await anyio.sleep(error.retry_secs)
        else:
            return
