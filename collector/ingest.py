"""Files of OTLP through the same pipeline as what comes over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from collector.api.values import Document
from collector.app import aside, run_loop
from collector.collector import Collector
from collector.config import Config
from collector.errors import OverloadedError
from collector.model import Signal
from collector.receiver.intake import Encoding
from collector.receiver.otlp_json import iter_requests

INGEST_AT_ONCE = 8


def ingest(
    config: Config, files: Sequence[Path], *, progress: Callable[[int, int], None]
) -> Document:
    """Files of OTLP through the same pipeline, into the store; then all their runs are closed.

    Returns `{"signals": terms of promise 2 by signal, "runs": runs written}`, and `unrecognized`
    (agent-looking spans that no dialect read, by scope) where there are any.  Raises
    PermanentError for a file that is no OTLP, OSError, StoreError.
    """
    with aside(config) as collector:
        collector.link.get()  # a collector would wait for its store; who looks on wants to know
        run_loop(partial(_ingest, collector, files, progress))
        pipeline = collector.pipeline
        pipeline.call(pipeline.drain).result()
        pipeline.call(pipeline.close_runs).result()
        pipeline.call(pipeline.drain).result()
        counted = collector.accounting.snapshot()
        report: Document = {
            "signals": counted.document(),
            "runs": collector.pipeline.runs_written,
        }
        if counted.unrecognized:
            report["unrecognized"] = dict(sorted(counted.unrecognized.items()))
        return report


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

    async with anyio.create_task_group() as tasks:
        for _ in range(INGEST_AT_ONCE):
            tasks.start_soon(send_all)


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
