"""Bytes on disk: spans, steps and runs of whole ingests, by table, and of a million runs.

Two loads go through the real pipeline into an embedded store, which is then merged: runs of 25
plain GenAI spans of 1.4 KB, and all captures of `tests/captures/`, some copies of each.  Ids are as
random as real ones, for they are a good part of what is left after compression.  Texts are not: the
first load's are of few words, the second repeats those of the captures; so real texts need more.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.table import Table

from collector.config import load
from collector.ingest import ingest
from collector.store.client import Store
from tests.bench.mix import build_mix
from tests.bench.otlp_load import Payload, build_pool

BATCH = 512
DAY_NS = 24 * 3600 * 10**9
TABLES = ("otel_traces", "otel_traces_trace_id_ts", "agent_content", "agent_steps", "agent_runs")


def scattered(payloads: Iterable[Payload], folder: Path) -> tuple[Path, int, int]:
    """(file, spans, their bytes as sent): ids hashed, times of the last day."""
    file, spans, sent = folder / "load.otlp", 0, 0
    now_ns = time.time_ns()
    with file.open("wb") as out:
        for number, payload in enumerate(payloads):
            shift_ns = now_ns - DAY_NS + number * 10**9
            request = ExportTraceServiceRequest.FromString(payload.stamp(1, shift_ns))
            for resource_spans in request.resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    for span in scope_spans.spans:
                        trace_id = span.trace_id
                        for id_ in (span, *span.links):
                            id_.span_id = _hashed(id_.trace_id + id_.span_id, 8)
                            id_.trace_id = _hashed(id_.trace_id, 16)
                        if span.parent_span_id:
                            span.parent_span_id = _hashed(trace_id + span.parent_span_id, 8)
                        spans += 1
            body = request.SerializeToString()
            out.write(struct.pack(">I", len(body)) + body)
            sent += len(body)
    return file, spans, sent


def _hashed(id_: bytes, size: int) -> bytes:
    return hashlib.blake2b(id_, digest_size=size).digest()


def measured(payloads: Iterable[Payload]) -> tuple[dict[str, tuple[int, int]], int, int]:
    """(table -> (rows, bytes), spans, bytes as sent) of one load in a store of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, spans, sent = scattered(payloads, folder)
        url = f"chdb://{folder}/store"
        settings = {"data_dir": str(folder / "data"), "store.url": url}
        ingest(load(None, {}, settings), [file], progress=lambda done, total: None)
        with Store.open(url) as store:
            for table in TABLES:
                store.command(f"OPTIMIZE TABLE {table} FINAL")
            rows = store.query(
                "SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts"
                " WHERE active AND database = currentDatabase() GROUP BY table"
            )
        return {row["table"]: (row["rows"], row["bytes"]) for row in rows}, spans, sent


def main() -> None:
    parser = argparse.ArgumentParser(description="bytes on disk by table")
    parser.add_argument("--runs", type=int, default=4000, help="of the plain load")
    parser.add_argument("--copies", type=int, default=20, help="of each capture")
    options = parser.parse_args()
    loads = {
        "plain": build_pool(options.runs, BATCH, seed=7),
        "captures": build_mix(options.copies, BATCH, seed=7),
    }
    for name, payloads in loads.items():
        tables, spans, sent = measured(payloads)
        runs = tables["agent_runs"][0]
        title = f"{name}: {spans:,} spans of {sent / spans:,.0f} B, {runs:,} runs"
        shown = Table("table", "rows", "B per row", "B per run", "GB per million runs", title=title)
        total = 0
        for table in TABLES:
            count, size = tables.get(table, (0, 0))
            total += size
            shown.add_row(
                table,
                f"{count:,}",
                f"{size / max(count, 1):,.0f}",
                f"{size / runs:,.0f}",
                f"{size / runs / 1e3:,.2f}",
            )
        shown.add_row("together", "", "", f"{total / runs:,.0f}", f"{total / runs / 1e3:,.2f}")
        Console(width=100).print(shown)


if __name__ == "__main__":
    main()
