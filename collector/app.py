"""The collector as a process, and work on a store that no collector holds."""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pyarrow as pa

from collector import logs
from collector.api.local import LocalOperations
from collector.api.service import Operations
from collector.collector import Collector
from collector.config import Config
from collector.errors import StoreError
from collector.ledger.chain import FILE, read_anchor
from collector.ledger.reader import StoredLedger
from collector.listeners import Ports, until_told
from collector.model import Signal

DRAIN_SECS = 15.0


def serve(config: Config) -> None:
    """Run a collector until SIGINT or SIGTERM.

    Raises ConfigError (journal, TLS), OSError (ports), StoreError (an embedded store that is held).
    """
    logs.configure(config.log.level, config.log.format)
    # Open runs are hundreds of thousands of objects without cycles (a forgotten group unties its
    # own): looking through them for garbage again and again cost a third of the fold's time.
    gc.freeze()
    gc.set_threshold(1_000_000, 50, 1000)
    # Arrow's own allocator gives memory back and takes it again with every flush: page faults.
    pa.set_memory_pool(pa.system_memory_pool())
    with opened(config, decoders=config.receiver.decoders) as collector:
        run_loop(partial(until_told, collector, announce))


def run_loop(main: Callable[[], Awaitable[None]]) -> None:
    """Run the event loop; what a task of it raised is raised as it is, not in a group."""
    try:
        anyio.run(main, backend_options={"use_uvloop": sys.platform != "win32"})
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


@contextmanager
def opened(config: Config, *, decoders: int = 0) -> Iterator[Collector]:
    """A collector without listeners; closing it writes what it has."""
    collector = Collector(config, decoders=decoders)
    try:
        yield collector
    finally:
        collector.close(DRAIN_SECS)


async def announce(collector: Collector, ports: Ports) -> bool:
    config = collector.config
    api = f"http://{config.api.host}:{ports.api}"
    clickhouse = ""
    if ports.reads is not None:
        clickhouse = (
            f"  ClickHouse http://{config.read_endpoint.host}:{ports.reads}"
            f"   (read-only, database {config.store.database})\n"
        )
    print(  # noqa: T201  # what a person who started it wants to see
        f"otel-agentrun is running.\n"
        f"  OTLP/gRPC  {config.receiver.grpc.host}:{ports.grpc}\n"
        f"  OTLP/HTTP  http://{config.receiver.http.host}:{ports.http}\n"
        f"  API        {api}/v1/runs   (also /metrics, /readyz)\n"
        f"{clickhouse}"
        f"  Store      {config.store.url}\n"
        f"  See runs   agentrun runs list\n"
        f"Ctrl-C stops it.",
        flush=True,
    )
    return True


@contextmanager
def operations(config: Config) -> Iterator[Operations]:
    """The API's operations on a store that no collector holds."""
    with aside(config) as collector:
        checks = collector.checks()
        del checks["dialects"]  # about spans that came in: none did
        with suppress(StoreError):  # each operation says so itself
            collector.control.load()
        yield LocalOperations(
            collector,
            collector,
            rules=collector,
            control=collector.desk,
            approvals=collector.approvals,
            # The chain of the collector whose store this is, if it ran here.
            ledger=StoredLedger(
                collector.link.get,
                lambda: [found] if (found := read_anchor(config.data_dir / FILE)) else [],
            ),
            checks=checks.items(),
        )
        if collector.accounting.pending(Signal.EVENTS):
            # This journal goes with the process: what was decided has to be in the store.
            collector.pipeline.call(collector.pipeline.drain).result(DRAIN_SECS)


@contextmanager
def aside(config: Config) -> Iterator[Collector]:
    """A collector whose journal is in a temporary folder: the work ends with this process; nothing
    of it is passed on to other backends."""
    logs.configure("warning", config.log.format)
    with tempfile.TemporaryDirectory(prefix="agentrun-") as folder:
        key = config.data_dir / "redaction.key"
        if key.is_file():  # equal values are to get equal marks, whoever ingests them
            shutil.copy(key, folder)
        with opened(replace(config, data_dir=Path(folder), forward=(), webhooks=())) as collector:
            yield collector
