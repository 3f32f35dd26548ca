"""A small collector: the control stream and OTLP log records on one port, everything remembered.

In a thread of its own, with grpc.aio, as the real one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_agentrun import control_pb2 as pb
from otel_agentrun.control import METHOD


class Told:
    """One event that arrived."""

    def __init__(self, record: Any) -> None:
        self.name: str = record.event_name
        self.at_ns: int = record.time_unix_nano
        self.arrived_ns = time.time_ns()
        self.attributes = {
            pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
            for pair in record.attributes
        }


class Collector:
    def __init__(
        self, port: int = 0, *, confirms: bool = True, refuses: Any = None, trust: Any = None
    ) -> None:
        """`trust`: credentials of a gRPC server."""
        self.port = port
        self._trust = trust
        self.confirms = confirms
        self.refuses = refuses
        self.hellos: list[pb.Hello] = []
        self.metadata: list[dict[str, str]] = []
        self.reports: list[pb.Reports] = []
        self.told: list[Told] = []
        self._outboxes: list[asyncio.Queue[pb.Down | None]] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Collector:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """At once, as when it is killed."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)

    def direct(self, **fields: Any) -> None:
        """Send a directive to everybody who is connected."""
        down = pb.Down(directive=pb.Directive(**fields))
        for outbox in self._outboxes:
            self._loop.call_soon_threadsafe(outbox.put_nowait, down)

    def events(self, name: str) -> list[Told]:
        return [each for each in list(self.told) if each.name == name]

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        service, _, method = METHOD.strip("/").rpartition("/")
        handler = grpc.stream_stream_rpc_method_handler(
            self._connect,
            request_deserializer=pb.Up.FromString,
            response_serializer=pb.Down.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        if self._trust is not None:
            self.port = server.add_secure_port(f"127.0.0.1:{self.port}", self._trust)
        else:
            self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._ready.set()
        await self._stopping.wait()
        await server.stop(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _connect(self, ups: AsyncIterator[pb.Up], context: Any) -> None:
        if self.refuses is not None:
            await context.abort(self.refuses, "no")
        self.metadata.append({str(k): str(v) for k, v in context.invocation_metadata()})
        outbox: asyncio.Queue[pb.Down | None] = asyncio.Queue()
        self._outboxes.append(outbox)
        reader = asyncio.create_task(self._read(ups, outbox))
        try:
            while (down := await outbox.get()) is not None:
                await context.write(down)
        finally:
            self._outboxes.remove(outbox)
            reader.cancel()

    async def _read(self, ups: AsyncIterator[pb.Up], outbox: asyncio.Queue[pb.Down | None]) -> None:
        async for up in ups:
            if up.WhichOneof("message") == "hello":
                self.hellos.append(up.hello)
                outbox.put_nowait(pb.Down(welcome=pb.Welcome(collector_id="c1")))
                continue
            self.reports.append(up.reports)
            for logs in ExportLogsServiceRequest.FromString(up.reports.logs).resource_logs:
                for scope in logs.scope_logs:
                    self.told.extend(Told(record) for record in scope.log_records)
            if self.confirms:
                received = pb.Received(sequence=up.reports.sequence)
                outbox.put_nowait(pb.Down(received=received))
        outbox.put_nowait(None)


def wait_for(wanted: Callable[[], object], secs: float = 10.0) -> None:
    deadline = time.monotonic() + secs
    while not wanted():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.005)
