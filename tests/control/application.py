"""A connected application as the collector sees it: the control stream, spoken by hand."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_agentrun import control_pb2 as pb
from otel_agentrun import semconv
from tests.e2e.otlp import a_record, logs
from tests.support.process import CollectorProcess

METHOD: Final = "/agentrun.control.v1.Control/Connect"
WAIT_SECS: Final = 15.0

T = TypeVar("T")


class Application:
    """Connects at once; use as a context manager."""

    def __init__(
        self,
        collector: CollectorProcess,
        *runs: pb.OpenRun,
        key: str = "",
        application_id: str = "",
        says_hello: bool = True,
    ) -> None:
        self.application_id = application_id or str(uuid.uuid4())
        self.down: list[pb.Down] = []
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self._up: queue.Queue[bytes | None] = queue.Queue()
        self._news = threading.Condition()
        self._sequence = 0
        if says_hello:
            self.send(
                pb.Up(
                    hello=pb.Hello(
                        application_id=self.application_id,
                        service_name="shop",
                        sdk_version="0.1.0",
                        runs=runs,
                        can_stop=True,
                        can_pause=True,
                    )
                )
            )
        self._channel = grpc.insecure_channel(f"127.0.0.1:{collector.ports['grpc']}")
        metadata = [("authorization", f"Bearer {key}")] if key else []
        self._call = self._channel.stream_stream(METHOD)(self._messages(), metadata=metadata)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Application:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._up.put(None)
        self._call.cancel()
        self._thread.join(WAIT_SECS)
        self._channel.close()

    # ------------------------------------------------------------------ up

    def send(self, message: pb.Up | bytes) -> None:
        self._up.put(message if isinstance(message, bytes) else message.SerializeToString())

    def report(
        self,
        *events: tuple[str, Mapping[str, str]],
        started: tuple[pb.OpenRun, ...] = (),
        ended: tuple[str, ...] = (),
        body: bytes | None = None,
    ) -> int:
        """Send reports; their sequence."""
        self._sequence += 1
        said = body if body is not None else a_request(*events).SerializeToString()
        self.send(
            pb.Up(
                reports=pb.Reports(sequence=self._sequence, logs=said, started=started, ended=ended)
            )
        )
        return self._sequence

    def acknowledge(
        self, directive: pb.Directive, run_id: str, status: str = "acknowledged", error: str = ""
    ) -> int:
        said = {
            semconv.RUN_ID: run_id,
            semconv.DIRECTIVE_ID: directive.id,
            semconv.DIRECTIVE_ACTION: directive.action,
            semconv.DIRECTIVE_STATUS: status,
        }
        if error:
            said[semconv.ERROR_MESSAGE] = error
        return self.report((semconv.DIRECTIVE_EVENT, said))

    # ------------------------------------------------------------------ down

    def welcome(self) -> str:
        """Id of the collector, once it has taken the application."""
        return self.until(
            lambda: next(d.welcome for d in self.down if d.HasField("welcome"))
        ).collector_id

    def confirmed(self, sequence: int) -> pb.Received:
        """What came about these reports."""
        return self.until(
            lambda: next(
                d.received
                for d in self.down
                if d.HasField("received") and d.received.sequence == sequence
            )
        )

    def directive(self, number: int = 0) -> pb.Directive:
        """The directive that came first, second, ..."""
        return self.until(lambda: self.directives[number])

    @property
    def directives(self) -> list[pb.Directive]:
        return [each.directive for each in self.down if each.HasField("directive")]

    def ended(self) -> grpc.StatusCode:
        """How the stream ended."""
        return self.until(lambda: self.code or next(iter(())))

    def until(self, found: Callable[[], T]) -> T:
        """What `found` gives once it raises neither IndexError nor StopIteration."""
        deadline = time.monotonic() + WAIT_SECS
        with self._news:
            while True:
                try:
                    return found()
                except (IndexError, StopIteration):
                    left = deadline - time.monotonic()
                    assert left > 0, (
                        f"did not come; the last is {self.down[-3:]}, ended {self.code}"
                    )
                    self._news.wait(left)

    # ------------------------------------------------------------------ inside

    def _messages(self) -> Iterator[bytes]:
        while (message := self._up.get()) is not None:
            yield message

    def _listen(self) -> None:
        try:
            for message in self._call:
                with self._news:
                    self.down.append(pb.Down.FromString(message))
                    self._news.notify_all()
        except grpc.RpcError:
            pass
        with self._news:
            self.code, self.details = self._call.code(), self._call.details() or ""
            self._news.notify_all()


def an_open_run(
    run_id: str, *, agent: str = "support", workspace: str = "", started_ns: int = 0
) -> pb.OpenRun:
    return pb.OpenRun(
        run_id=run_id,
        agent=agent,
        workspace=workspace,
        started_unix_ns=started_ns or time.time_ns(),
    )


def a_request(*events: tuple[str, Mapping[str, str]]) -> ExportLogsServiceRequest:
    """Events as the SDK's emitter sends them."""
    return logs([a_record(name, said, at_ns=time.time_ns()) for name, said in events])
