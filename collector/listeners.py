"""What listens: OTLP/gRPC, OTLP/HTTP and the API of one collector, until it is told to stop."""

from __future__ import annotations

import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import anyio
from anyio.abc import TaskGroup

from collector import settings
from collector.api.app import create_app
from collector.api.decision_metrics import Decisions
from collector.api.health import Health
from collector.api.local import LocalOperations
from collector.api.metrics import Metrics
from collector.api.server import serve_api
from collector.clickhouse_http.app import ReadEndpoint
from collector.clickhouse_http.engine import MEMORY, Engine
from collector.clickhouse_http.reader import QueryReader
from collector.clickhouse_http.serving import serve_reads
from collector.clickhouse_http.stats import ReadStats
from collector.collector import Collector
from collector.config import ReadEndpointConfig
from collector.control.server import ControlHandler
from collector.ledger.reader import StoredLedger
from collector.receiver.exchange import Exchange
from collector.receiver.grpc_server import GrpcReceiver
from collector.receiver.http_server import HttpReceiver
from collector.receiver.stats import ReceiverStats
from collector.receiver.tls import ssl_context

log = logging.getLogger(__name__)

GRACE_SECS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the collector listens, once it does."""

    grpc: int
    http: int
    api: int
    reads: int | None = None
    """Of the read endpoint; `None`: it does not listen."""


async def until_told(
    collector: Collector, begin: Callable[[Collector, Ports], Awaitable[bool]]
) -> None:
    """Listen, `begin`, and go on until a signal; at once to the end when `begin` says False."""
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            listeners = Listeners(collector)
            ports = await listeners.start(tasks)
            if await begin(collector, ports):
                async for number in signals:
                    log.info("stopping", extra={"signal": signal.Signals(number).name})
                    break
            await listeners.stop()
        tasks.cancel_scope.cancel()


class Listeners:
    """OTLP/gRPC, OTLP/HTTP and the API of one collector."""

    def __init__(self, collector: Collector) -> None:
        config = collector.config
        self._collector = collector
        keyring = settings.keyring(config)
        stats = ReceiverStats()
        self._exchange = Exchange(
            collector.intake,
            keyring,
            stats,
            settings.receiver_limits(config),
            takes_headers=config.receiver.headers,
            more_headers=settings.headers(config),
        )
        grpc = settings.grpc(config)
        control = ControlHandler(
            collector.control,
            self._exchange,
            streams_max=config.control.streams_max,
            peer_is_verified=grpc.tls is not None and grpc.tls.client_ca_file is not None,
        )
        self._grpc = GrpcReceiver(
            grpc, self._exchange, extra_handlers=[control] if config.control.enabled else []
        )
        self._http = HttpReceiver(settings.http(config), self._exchange)
        checks = collector.checks()
        self._health = Health(checks)
        self._reads: ReadEndpoint | None = None
        read_stats = ReadStats()
        if config.serves_reads:
            self._reads = ReadEndpoint(
                self._reader,
                keyring=keyring,
                stats=read_stats,
                admission=settings.read_admission(config),
                peers_verified=config.read_endpoint.tls.client_ca_file is not None,
                allowed_hosts=config.api.allowed_hosts,
                allowed_origins=config.api.allowed_origins,
            )
        self._api = create_app(
            LocalOperations(
                collector,
                collector,
                rules=collector,
                control=collector.desk,
                approvals=collector.approvals,
                ledger=StoredLedger(collector.link.get, lambda: [collector.ledger.anchor]),
                checks=checks.items(),
            ),
            health=self._health,
            metrics=Metrics(
                collector.accounting,
                gauges=collector.gauges(),
                receiver=stats,
                reads=read_stats if self._reads else None,
                forwarding=collector.forwarding,
                decisions=Decisions(
                    approvals=collector.approvals.counts,
                    webhooks=collector.webhooks.deliveries,
                    ledger_entries=lambda: collector.ledger.entries,
                ),
                control=collector.control.stats,
            ),
            updates=collector.updates,
            version=version("otel-agentrun"),
            keyring=keyring,
            peers_verified=config.api.tls.client_ca_file is not None,
            allowed_hosts=config.api.allowed_hosts,
            allowed_origins=config.api.allowed_origins,
        )

    async def start(self, tasks: TaskGroup) -> Ports:
        """Returns once all are bound."""
        config = self._collector.config
        self._collector.pruning.start()
        if config.control.enabled:
            self._collector.control.start()
            self._collector.approvals.start()
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
            reads=await self._start_reads(tasks),
        )

    async def _start_reads(self, tasks: TaskGroup) -> int | None:
        if self._reads is None:
            return None
        config = self._collector.config.read_endpoint
        tls = settings.tls(config.tls)
        serve = partial(
            serve_reads,
            self._reads,
            host=config.host,
            port=config.port,
            tls=ssl_context(tls) if tls else None,
            optional=config.address == ReadEndpointConfig().address,
        )
        port: int | None = await tasks.start(serve)
        return port

    def _reader(self) -> QueryReader:
        """On the engine that the collector has open.  Raises StoreError."""
        store = self._collector.link.get()
        engine = Engine(store.url.path or MEMORY)
        return QueryReader(engine, store.database, settings.query_limits(self._collector.config))

    async def stop(self) -> None:
        """Refuse what is new, let what is under way end."""
        self._health.stop()
        self._exchange.refuse()
        self._collector.control.sessions.end()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._grpc.stop, GRACE_SECS)
            tasks.start_soon(self._http.stop, GRACE_SECS)
