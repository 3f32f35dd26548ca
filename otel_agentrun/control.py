"""The control stream: reports go up within milliseconds, directives come down.

One stream per process, from a thread of its own that begins with the first run (a server that forks
its workers before has none of it in the parent).  Nobody waits for it: while there is no stream,
events leave as OTLP log records, and a collector that cannot be reached costs one attempt in half a
minute.  A child that is forked once there is a stream has none (gRPC supports that only on demand).

Protocol: schemas/control.proto.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import random
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import grpc

from otel_agentrun import control_pb2 as pb
from otel_agentrun import semconv
from otel_agentrun.control_endpoint import ControlEndpoint
from otel_agentrun.directives import Directives
from otel_agentrun.log_wire import Event, LogEncoder
from otel_agentrun.unconfirmed import Batch, Unconfirmed
from otel_agentrun.verdicts import OpenRun, Verdicts

__all__ = ["ControlClient"]

METHOD: Final = "/agentrun.control.v1.Control/Connect"
FIRST_RETRY_SECS: Final = 0.2
RETRY_SECS_MAX: Final = 30.0
REFUSED_RETRY_SECS: Final = 60.0
"""Where the other side is no collector of ours, or does not take our key."""
STEADY_SECS: Final = 2.0
"""A stream that lasted longer was a good one: the next attempt comes soon."""
GRACE_SECS: Final = 5.0
"""How long after a stream broke its reports wait for the next one."""
PING_SECS: Final = 10.0
"""A stream that says nothing for so long sends an empty report, which is confirmed."""
DEAD_SECS: Final = 20.0
"""A peer that confirms nothing for so long is gone."""
WELCOME_SECS: Final = 10.0
CONNECT_MS: Final = 5_000
MESSAGE_BYTES_MAX: Final = 4 << 20
REFUSALS: Final = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)

_log = logging.getLogger("otel_agentrun")
_inherited: list[Any] = []
"""Of forked children: what their parent talks with, never to be touched or collected."""
_has_talked = False
"""gRPC has threads in this process, which a fork does not take along."""

Answer = Callable[[str, dict[str, Any]], None]
GiveBack = Callable[[Sequence[Event]], None]


class ControlClient:
    """Threads may share one."""

    def __init__(
        self,
        endpoint: ControlEndpoint,
        verdicts: Verdicts,
        encoder: LogEncoder,
        *,
        answer: Answer,
        give_back: GiveBack,
        service_name: str = "",
        sdk_version: str = "",
    ) -> None:
        """`answer` gets name and attributes of an event that answers a directive, `give_back`
        events that shall leave in another way."""
        self.endpoint = endpoint
        self._verdicts = verdicts
        self._encoder = encoder
        self._answer = answer
        self._give_back = give_back
        self._service_name = service_name
        self._sdk_version = sdk_version
        self._call: Any = None
        self._channel: Any = None
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._warned = False
        self._reset()
        if hasattr(os, "register_at_fork"):
            fresh = weakref.WeakMethod(self._forked)
            os.register_at_fork(after_in_child=lambda: (call := fresh()) and call())

    def _reset(self) -> None:
        self.application_id = str(uuid.uuid4())
        self.collector_id = ""
        """Of the collector at the other end; "" while there is none."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._unconfirmed = Unconfirmed()
        self._announced: set[str] = set()
        """Runs that the collector knows to be open here."""
        self._is_connected = False
        self._lost_at: float | None = None
        """When the stream broke whose reports wait for the next one (monotonic seconds)."""
        self._directives = Directives(self._verdicts)

    def _forked(self) -> None:
        held = (self._call, self._channel, self._outbox)
        _inherited.append(held)
        # Not even when the interpreter of the child ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
        self._call = self._channel = None
        self._outbox = queue.SimpleQueue()
        self._reset()
        if _has_talked and not _may_talk_after_fork():
            self._closing.set()

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    # ------------------------------------------------------------------ the application's side

    def start(self) -> None:
        """Connect, in a thread; again: nothing."""
        with self._lock:
            if self._thread is not None or self._closing.is_set():
                return
            thread = threading.Thread(target=self._run, name="agentrun-control", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down
                self._closing.set()
                return
            self._thread = thread

    def take(self, events: Sequence[Event]) -> bool:
        """Send them up the stream, or keep them for the one that follows soon.  `False`: there is
        none, they have to leave in another way.

        To be called by one thread, that of the emitter.
        """
        lost_at, now = self._lost_at, time.monotonic()
        if not self._is_connected:
            if lost_at is not None and now - lost_at > GRACE_SECS:
                self._stop_waiting()
            if self._lost_at is None:
                return False
        logs = self._encoder.encode(events)
        if len(logs) > MESSAGE_BYTES_MAX - 65_536:
            return False
        with self._lock:
            if not (self._is_connected or self._lost_at is not None) or self._unconfirmed.is_full():
                return False
            started, ended = self._news(events)
            batch = Batch(events=tuple(events), logs=logs, started=started, ended=ended)
            sequence = self._unconfirmed.add(batch, now)
            if self._is_connected:
                self._outbox.put(_reports(sequence, batch))
        return True

    def flush(self, secs: float) -> bool:
        """Wait until the collector has confirmed what went up; `False` where it did not."""
        with self._changed:
            self._changed.wait_for(lambda: not self._unconfirmed or not self._is_connected, secs)
            return not self._unconfirmed

    def close(self, secs: float) -> list[Event]:
        """End the stream, at most `secs` after what went up is confirmed or not; what was not."""
        deadline = time.monotonic() + secs
        self.flush(secs)
        with self._changed:
            self._closing.set()
            self._is_connected = False
            self._lost_at = None
            left = self._unconfirmed.take()
            thread, call = self._thread, self._call
        self._outbox.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(min(deadline - time.monotonic(), 0.2), 0.0))
            if thread.is_alive() and call is not None:
                call.cancel()
                thread.join(0.2)
        return left

    def _news(self, events: Sequence[Event]) -> tuple[tuple[OpenRun, ...], tuple[str, ...]]:
        """Runs that began and ended since this was asked last.  Under the lock."""
        known = self._announced
        if all(
            event.name != semconv.RUN_ENDED_EVENT
            and event.attributes.get(semconv.RUN_ID, "") in known
            for event in events
        ):
            return (), ()
        now_open = {run.run_id: run for run in self._verdicts.open_runs()}
        started = tuple(run for run_id, run in now_open.items() if run_id not in known)
        ended = tuple(run_id for run_id in known if run_id not in now_open)
        self._announced = set(now_open)
        return started, ended

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        pause = FIRST_RETRY_SECS
        while not self._closing.is_set():
            began, refusal = time.monotonic(), None
            try:
                self._talk()
            except grpc.RpcError as error:
                code = error.code() if isinstance(error, grpc.Call) else None
                refusal = code if code in REFUSALS else None
            except Exception:
                _log.exception("control_failed")
            was_connected = self._broken(keep=refusal is None)
            if self._closing.is_set():
                return
            if refusal is not None:
                pause = REFUSED_RETRY_SECS
            elif was_connected and time.monotonic() - began > STEADY_SECS:
                pause = FIRST_RETRY_SECS
            if not was_connected:
                self._warn(refusal.name if refusal is not None else "no answer")
            self._wait(random.uniform(0.5, 1.0) * pause)
            pause = min(pause * 2, RETRY_SECS_MAX)

    def _talk(self) -> None:
        """One stream from its beginning to its end.  Raises RpcError where that is a bad one."""
        global _has_talked
        _has_talked = True
        self._channel = self._open_channel()
        outbox: queue.SimpleQueue[pb.Up | None] = queue.SimpleQueue()
        self._outbox = outbox
        opened = time.monotonic()
        connect = self._channel.stream_stream(
            METHOD,
            request_serializer=pb.Up.SerializeToString,
            response_deserializer=pb.Down.FromString,
        )
        try:
            with self._lock:
                runs = self._verdicts.open_runs()
                self._announced = {run.run_id for run in runs}
            self._call = call = connect(
                self._requests(outbox, opened), metadata=self.endpoint.headers
            )
            outbox.put(self._hello(runs))
            for down in call:
                self._came(down)
                if self._closing.is_set():
                    break
        finally:
            outbox.put(None)
            self._channel.close()

    def _came(self, down: pb.Down) -> None:
        kind = down.WhichOneof("message")
        if kind == "received":
            with self._changed:
                self._unconfirmed.confirm(down.received.sequence)
                self._changed.notify_all()
            if down.received.error:
                _log.warning("reports_refused reason=%s", down.received.error)
        elif kind == "directive":
            for said in self._directives.carry_out(down.directive, time.time_ns()):
                self._answer(semconv.DIRECTIVE_EVENT, dict(said))
        elif kind == "welcome":
            with self._lock:
                if self._closing.is_set():
                    return
                self.collector_id = down.welcome.collector_id
                for sequence, batch in self._unconfirmed.renumber(time.monotonic()):
                    self._outbox.put(_reports(sequence, batch))
                self._is_connected = True
                self._lost_at = None
            self._warned = False

    def _requests(self, outbox: queue.SimpleQueue[pb.Up | None], opened: float) -> Iterator[pb.Up]:
        """What grpc sends, asked for by a thread of its own."""
        look = opened + PING_SECS
        while True:
            try:
                up = outbox.get(timeout=PING_SECS)
                if up is None:
                    return
                yield up
            except queue.Empty:
                self._ping(outbox)
            if time.monotonic() >= look:
                look = time.monotonic() + PING_SECS
                if self._is_dead(opened):
                    self._call.cancel()
                    return

    def _ping(self, outbox: queue.SimpleQueue[pb.Up | None]) -> None:
        """Where nothing else is to be said: a report that says nothing, to be confirmed."""
        with self._lock:
            if self._is_connected and not self._unconfirmed:
                batch = Batch()
                outbox.put(_reports(self._unconfirmed.add(batch, time.monotonic()), batch))

    def _is_dead(self, opened: float) -> bool:
        now = time.monotonic()
        with self._lock:
            if not self._is_connected:
                return now - opened >= WELCOME_SECS
            since = self._unconfirmed.waits_since()
            return since is not None and now - since >= DEAD_SECS

    def _broken(self, *, keep: bool) -> bool:
        """The stream has ended: what it did not confirm waits for the next one.  Whether there
        was a welcome."""
        with self._changed:
            was_connected, self._is_connected = self._is_connected, False
            self.collector_id = ""
            if was_connected and keep:
                self._lost_at = time.monotonic()
            self._changed.notify_all()
        if not keep:
            self._stop_waiting()
        return was_connected

    def _wait(self, secs: float) -> None:
        """Before the next attempt.  Reports of a stream that broke wait only so long."""
        end = time.monotonic() + secs
        lost_at = self._lost_at
        if lost_at is not None and lost_at + GRACE_SECS < end:
            if self._closing.wait(max(lost_at + GRACE_SECS - time.monotonic(), 0.0)):
                return
            self._stop_waiting()
        self._closing.wait(max(end - time.monotonic(), 0.0))

    def _stop_waiting(self) -> None:
        with self._lock:
            self._lost_at = None
            left = self._unconfirmed.take()
        if left:
            self._give_back(left)

    # ------------------------------------------------------------------ how to talk

    def _hello(self, runs: Sequence[OpenRun]) -> pb.Up:
        return pb.Up(
            hello=pb.Hello(
                application_id=self.application_id,
                service_name=self._service_name,
                sdk_version=self._sdk_version,
                runs=map(_open_run, runs),
                can_stop=True,
                can_pause=True,
            )
        )

    def _open_channel(self) -> Any:
        options = [
            # Its own connection, also in a child whose parent has one.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
        ]
        endpoint = self.endpoint
        if not endpoint.is_secure:
            return grpc.insecure_channel(endpoint.address, options=options)
        trust = grpc.ssl_channel_credentials(endpoint.ca, endpoint.key, endpoint.certificate)
        return grpc.secure_channel(endpoint.address, trust, options=options)

    def _warn(self, why: str) -> None:
        """Once per outage, and only where somebody wants control."""
        if self._warned:
            return
        self._warned = True
        level = logging.WARNING if self.endpoint.is_asked_for else logging.DEBUG
        _log.log(
            level,
            "control_not_connected address=%s reason=%s: the collector cannot stop runs of this "
            "process; local rules can, and events leave as OTLP log records.",
            self.endpoint.address, why,
        )  # fmt: skip


def _may_talk_after_fork() -> bool:
    """Whether somebody turned on gRPC's support of it.  Without, a child of a process that talks
    over gRPC crashes as soon as it does (measured: grpcio 1.85 with the support off)."""
    return os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in ("1", "true", "yes")


def _reports(sequence: int, batch: Batch) -> pb.Up:
    return pb.Up(
        reports=pb.Reports(
            sequence=sequence,
            logs=batch.logs,
            started=map(_open_run, batch.started),
            ended=batch.ended,
        )
    )


def _open_run(run: OpenRun) -> pb.OpenRun:
    return pb.OpenRun(
        run_id=run.run_id, agent=run.agent, workspace=run.workspace, started_unix_ns=run.started_ns
    )
