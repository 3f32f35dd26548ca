"""From the bytes of an export request to a journal record, in processes of their own or in threads.

Decoding and redacting take a third of the collector's work and hold the interpreter's lock for much
of it.  In another process they leave that lock to the fold, and bytes that crash a native decoder
cost one request, not the collector.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from collector import normalize, records
from collector.errors import Refusal, RetryableError
from collector.model import Signal
from collector.receiver.decode import Decoder, Limits
from collector.receiver.intake import Encoding
from collector.redaction import ArrowRedactor
from collector.store import step_columns
from otel_agentrun import dialects
from otel_agentrun.dialects.mapping import NO_MAPPINGS, Mappings
from otel_agentrun.redact import RedactSettings

log = logging.getLogger(__name__)

PARENT_POLL_SECS: Final = 1.0
PIPE_BYTES: Final = 1 << 20
"""The most that Linux gives a process without privileges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What became of one request."""

    payload: bytes | None
    """A journal record of `items` rows; `None` when nothing is left to keep."""
    items: int
    received: int
    refused: tuple[Refusal, ...] = ()
    values_cut: int = 0
    values_redacted: int = 0
    trace_ids: tuple[str, ...] = ()
    steps: bytes = b""
    """The steps of the payload's spans, as columns; "" where they were not made."""


def prepare(
    decoder: Decoder,
    signal_: Signal,
    body: bytes,
    encoding: Encoding,
    ingest: Mapping[str, str],
    *,
    with_steps: bool = False,
) -> Prepared:
    """Decode, redact, serialize; `with_steps` also normalize.  Raises PermanentError."""
    if signal_ is Signal.METRICS:
        count = decoder.metrics_json if encoding == "json" else decoder.metrics
        return Prepared(payload=None, items=0, received=count(body))
    if signal_ is Signal.TRACES:
        read = decoder.traces_json if encoding == "json" else decoder.traces
    else:
        read = decoder.logs_json if encoding == "json" else decoder.logs
    decoded = read(body, received_at_ns=time.time_ns(), ingest=ingest)
    batch = decoded.batch
    return Prepared(
        payload=records.encode(batch).to_pybytes() if batch.num_rows else None,
        items=batch.num_rows,
        received=decoded.received,
        refused=decoded.refused,
        values_cut=decoded.values_cut,
        values_redacted=decoded.values_redacted,
        trace_ids=tuple(pc.unique(batch.column("TraceId")).to_pylist()),
        steps=_steps(batch) if with_steps and signal_ is Signal.TRACES else b"",
    )


def _steps(batch: pa.RecordBatch) -> bytes:
    """A good part of the fold's work, done beside it instead of at its lock."""
    try:
        return step_columns.to_bytes(step_columns.encode(normalize.steps_of(batch)))
    except Exception:  # a bug of ours: the fold comes to it, and says so
        return b""


class DecodePool:
    """Decodes in `processes` of its own, or in two threads of this one when that is 0."""

    def __init__(
        self,
        limits: Limits,
        redaction: RedactSettings,
        *,
        processes: int = 0,
        mappings: Mappings = NO_MAPPINGS,
    ) -> None:
        """`mappings` are put in force in the processes; in this one they are the caller's concern.

        Raises ConfigError for redaction rules that cannot be used.
        """
        # Made here in any case, so that bad rules are found before anything starts.
        self._decoder = Decoder(limits, ArrowRedactor(redaction))
        self._limits = limits
        self._redaction = redaction
        self._mappings = mappings
        self._processes = processes
        self._executor = self._start()

    def _start(self) -> Executor:
        if self._processes == 0:
            return ThreadPoolExecutor(2, thread_name_prefix="decode")
        executor = ProcessPoolExecutor(
            self._processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin_worker,
            initargs=(self._limits, self._redaction, self._mappings, os.getpid()),
        )
        executor.submit(_nothing)  # the process starts now, and loads its libraries meanwhile
        _widen(executor)
        return executor

    async def prepare(
        self, signal_: Signal, body: bytes, encoding: Encoding, ingest: Mapping[str, str]
    ) -> Prepared:
        """Raises PermanentError; RetryableError when the process that had it died."""
        loop = asyncio.get_running_loop()
        executor = self._executor
        if self._processes == 0:
            return await loop.run_in_executor(
                executor, prepare, self._decoder, signal_, body, encoding, ingest
            )
        try:
            return await loop.run_in_executor(
                executor, _prepare_in_worker, signal_, body, encoding, dict(ingest)
            )
        except BrokenProcessPool as error:
            if self._executor is executor:  # the first to notice; the others find the new one
                log.error("decoder_died", extra={"bytes": len(body)})
                executor.shutdown(wait=False)
                self._executor = self._start()
            raise RetryableError(
                "a decoder process died; resend", "decoder_died", retry_secs=1.0
            ) from error

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)


def _widen(executor: ProcessPoolExecutor) -> None:
    """Room for a whole request in the pipes: through 64 KiB the two processes take turns ten times
    for each, which costs 2 µs per span.  Only a matter of speed, so what is not there is left."""
    for queue in ("_call_queue", "_result_queue"):
        writer = getattr(getattr(executor, queue, None), "_writer", None)
        if writer is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(writer.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


_worker_decoder: Decoder | None = None


def _begin_worker(
    limits: Limits, redaction: RedactSettings, mappings: Mappings, parent: int
) -> None:
    global _worker_decoder
    # Ctrl-C goes to the whole process group; the parent ends its workers once it has drained.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is made here are values without cycles: they need no search for garbage.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    _worker_decoder = Decoder(limits, ArrowRedactor(redaction))
    dialects.use(mappings)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A parent that was killed cannot end its workers, and their pipe never closes."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECS)
    os._exit(1)


def _prepare_in_worker(
    signal_: Signal, body: bytes, encoding: Encoding, ingest: dict[str, str]
) -> Prepared:
    assert _worker_decoder is not None
    return prepare(_worker_decoder, signal_, body, encoding, ingest, with_steps=True)


def _nothing() -> None:
    """What a worker is started for before there is work."""
