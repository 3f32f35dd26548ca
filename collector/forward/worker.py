"""The forwarding process: reads spools, makes OTLP of them, sends; one thread per backend.

A process of its own, since making protobuf messages would hold the collector's interpreter lock
for a good part of every second.  It is told of backends and of new files on standard input and
reports on standard output, a JSON document a line; it ends when standard input does, so that it
never outlives the collector.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from collector.arrow import pa
from collector.forward import otlp, spool
from collector.forward.enrich import Known, log_attributes, log_names
from collector.forward.otlp import NOTHING, Added, Rows
from collector.forward.payload import decode
from collector.forward.send import DELAY_SECS_MAX, Answer, Outcome, Sender, sender
from collector.forward.settings import Backend
from collector.forward.spool import Name
from collector.model import Signal
from otel_agentrun.match import compile_match

log = logging.getLogger(__name__)

BACKOFF_SECS: Final = 0.5
BACKOFF_SECS_MAX: Final = 30.0
DOUBTFUL_MAX: Final = 5
"""Attempts at a request that fails inside the backend."""
LOOK_SECS: Final = 1.0
"""How often to look for files nobody told of."""
NICE: Final = 5
"""Receiving goes before passing on."""

Report = Callable[[dict[str, Any]], None]


class Batch:
    """A spool file, ready to be sent in pieces."""

    def __init__(self, backend: Backend, name: Name, content: bytes) -> None:
        """Raises pa.ArrowInvalid."""
        payload = decode(content, name.signal)
        self._backend = backend
        self._traces = name.signal is Signal.TRACES
        self._rows = Rows(payload.items)
        self._known = Known(payload)
        self.wanted: Sequence[int] = range(self._rows.length)
        if backend.match:
            match = compile_match(backend.match)
            names = self._known.names if self._traces else log_names
            self.wanted = [row for row in self.wanted if match(names(self._rows, row))]
        self.skipped = self._rows.length - len(self.wanted)

    def request(self, first: int, size: int) -> tuple[bytes, int]:
        """Wanted rows from `first` on as a serialized request, and how many they are: at most
        `size`, fewer where they are too many bytes."""
        while True:
            rows = self.wanted[first : first + size]
            make = otlp.traces if self._traces else otlp.logs
            body = make(self._rows, rows, [self._added(row) for row in rows]).SerializeToString()
            if len(body) <= self._backend.batch_bytes_max or len(rows) <= 1:
                return body, len(rows)
            size = max(
                1, min(len(rows) // 2, len(rows) * self._backend.batch_bytes_max // len(body))
            )

    def _added(self, row: int) -> Added:
        if not self._backend.enrich:
            return NOTHING
        if self._traces:
            return self._known.attributes(self._rows, row)
        return log_attributes(self._rows, row)


class Lane:
    """Sends what one spool has, in order.  `run` is a thread's work."""

    def __init__(
        self,
        backend: Backend,
        report: Report,
        *,
        connect: Callable[[Backend], Sender] = sender,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`report` gets what became of items; it may be called from this lane's thread only."""
        self._backend = backend
        self._directory = Path(backend.directory)
        self._report = report
        self._connect = connect
        self._jitter = jitter
        self._sender: Sender | None = None
        self._failures = 0
        """In a row."""
        self.wake = threading.Event()
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                sent = self._pass()
            except OSError as error:
                self._failed("spool", str(error), None)
                continue
            if not sent:
                self.wake.wait(LOOK_SECS)
                self.wake.clear()
        self._disconnect()

    def _pass(self) -> bool:
        """Everything that is there now; whether that was anything."""
        names = spool.listed(self._directory)
        for name in names:
            if self.stopping.is_set():
                break
            path = spool.claim(self._directory, name)
            if path is not None and self._send(name, path):
                path.unlink(missing_ok=True)
                self._tell("done", file=str(name))
        return bool(names)

    def _send(self, name: Name, path: Path) -> bool:
        """Whether the file is done with; False when stopping comes first."""
        batch: Batch | None = None
        stamp: tuple[int, int] | None = None
        first = doubtful = 0
        size = self._backend.batch_items_max
        while True:
            try:
                state = path.stat()
                if stamp != (state.st_ino, state.st_mtime_ns):  # new, or something of it was erased
                    stamp, first = (state.st_ino, state.st_mtime_ns), 0
                    fresh = batch is None
                    batch = Batch(self._backend, name, path.read_bytes())
                    if fresh and batch.skipped:
                        self._tell("skipped", signal=name.signal.value, items=batch.skipped)
            except FileNotFoundError:  # all of it was erased
                return True
            except pa.ArrowException as error:
                self._drop("unreadable", name.items, str(error))
                return True
            assert batch is not None  # there was no stamp, so that it was read
            if first >= len(batch.wanted):
                return True
            body, count = batch.request(first, size)
            answer = self._ask(name.signal, body)
            doubtful = doubtful + 1 if answer.outcome is Outcome.DOUBTFUL else 0
            if answer.outcome is Outcome.TAKEN:
                self._taken(name.signal, count, answer)
                first += count
            elif answer.outcome is Outcome.TOO_LARGE and count > 1:
                size = count // 2
            elif answer.outcome in (Outcome.REJECTED, Outcome.TOO_LARGE) or doubtful > DOUBTFUL_MAX:
                self._drop(answer.outcome.value, count, answer.message)
                first += count
                doubtful = 0
            else:
                if answer.outcome is Outcome.REFUSED:
                    self._disconnect()  # the file of a header may have changed
                self._failed(answer.reason, answer.message, answer.delay_secs)
                if self.stopping.is_set():
                    return False

    def _ask(self, signal_: Signal, body: bytes) -> Answer:
        if self._sender is None:
            try:
                self._sender = self._connect(self._backend)
            except (OSError, ValueError) as error:
                return Answer(outcome=Outcome.REFUSED, message=str(error), reason="file")
        return self._sender.send(signal_, body)

    def _taken(self, signal_: Signal, count: int, answer: Answer) -> None:
        self._failures = 0
        rejected = min(answer.rejected, count)
        self._tell("sent", signal=signal_.value, items=count - rejected)
        if rejected:
            self._drop("partial_success", rejected, answer.message)

    def _drop(self, reason: str, items: int, message: str) -> None:
        self._failures = 0
        self._tell("dropped", reason=reason, items=items, message=message)

    def _failed(self, reason: str, message: str, delay_secs: float | None) -> None:
        """Wait, longer each time and never at the same time as others; or as long as asked for."""
        pause = min(BACKOFF_SECS_MAX, BACKOFF_SECS * 2 ** min(self._failures, 10))
        self._failures += 1
        if delay_secs is None:
            pause *= 0.5 + self._jitter() / 2
        else:
            pause = min(DELAY_SECS_MAX, delay_secs) * (1 + self._jitter() / 10)
        self._tell("failed", reason=reason, message=message, attempt=self._failures, pause=pause)
        self.stopping.wait(pause)

    def _disconnect(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _tell(self, event: str, **values: Any) -> None:
        self._report({"backend": self._backend.name, "event": event, **values})


def main() -> None:
    """Standard input: a line for each backend, an empty line, then one for each new file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the collector says when it ends
    with contextlib.suppress(OSError):
        os.nice(NICE)
    backends = []
    for line in sys.stdin:
        if not line.strip():
            break
        backends.append(Backend.from_json(line))
    lock = threading.Lock()

    def report(document: dict[str, Any]) -> None:
        line = json.dumps(document) + "\n"
        with lock:
            try:
                os.write(1, line.encode())
            except OSError:  # nobody listens: the collector has ended
                os._exit(1)

    lanes = [Lane(backend, report) for backend in backends]
    threads = [
        threading.Thread(target=guarded, args=(lane,), name="forward", daemon=True)
        for lane in lanes
    ]
    for thread in threads:
        thread.start()
    for _ in sys.stdin:
        for lane in lanes:
            lane.wake.set()
    for lane in lanes:
        lane.stopping.set()
        lane.wake.set()
    for lane, thread in zip(lanes, threads, strict=True):
        thread.join(timeout=0.2 + lane._backend.timeout_secs)
    os._exit(0)  # a request that hangs keeps nobody: what it held is sent again


def guarded(lane: Lane) -> None:
    """A bug of ours ends the process, with its traceback: the collector starts another."""
    try:
        lane.run()
    except BaseException:
        log.exception("forward_lane_failed")
        os._exit(1)


if __name__ == "__main__":
    main()
