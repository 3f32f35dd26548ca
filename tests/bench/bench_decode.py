"""What decoding a traces request costs, by stage and by decoder.

Run: `python -m tests.bench.bench_decode [--spans 512] [--seconds 3] [--others]`.

The load is that of `otlp_load`: 25-span runs, 1.4 KB a span.  Prints CPU microseconds per span as
JSON, medians.  `--others` also measures the decoders of docs/adr/0002-decoder.md not chosen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.model import Signal
from collector.receiver import decode, otlp_digest, otlp_flatten, otlp_schema
from collector.receiver.decode import Decoder
from collector.redaction import ArrowRedactor
from otel_agentrun.redact import RedactSettings
from tests.bench.otlp_load import build_pool
from tests.decode import reference

MINUTE_NS = 60 * 10**9


class Stages:
    """CPU time inside wrapped functions, by name and call."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        function = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent[stage] = self.spent.get(stage, 0.0) + time.thread_time() - began

        setattr(owner, name, timed)


class Timed:
    """A `ptars` handler or a redactor whose calls are timed."""

    def __init__(self, inner: Any, *names: str) -> None:
        for name in names:
            setattr(self, name, getattr(inner, name))


def cost_us(function: Callable[[], Any], spans: int, seconds: float) -> float:
    """Median CPU microseconds per span."""
    taken: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken) < 5:
        began = time.thread_time()
        function()
        taken.append(time.thread_time() - began)
    return round(statistics.median(taken) / spans * 1e6, 2)


def by_stage(body: bytes, spans: int, seconds: float, now_ns: int) -> dict[str, float]:
    """Mean CPU microseconds per span inside the chosen decoder, redactor switched on."""
    stages = Stages()
    redactor = Timed(ArrowRedactor(RedactSettings(key=bytes(32))), "values")
    stages.wrap(redactor, "values", "redactor")
    handler = Timed(otlp_schema.handler(Signal.TRACES), "list_to_record_batch")
    stages.wrap(handler, "list_to_record_batch", "ptars")
    stages.wrap(decode, "to_text", "values to text")
    stages.wrap(otlp_flatten.Content, "digests", "digests")
    stages.wrap(otlp_digest, "of_texts", "digests")
    stages.wrap(otlp_digest, "combine", "digests (numbers)")
    decoder = Decoder(redactor=redactor)  # type: ignore[arg-type]  # it has `values`
    decoder._handlers[Signal.TRACES] = handler
    rounds = 0
    end = time.monotonic() + seconds
    began = time.thread_time()
    while time.monotonic() < end or rounds < 5:
        decoder.traces(body, received_at_ns=now_ns)
        rounds += 1
    stages.spent["in all"] = time.thread_time() - began
    found = {name: round(s / rounds / spans * 1e6, 2) for name, s in stages.spent.items()}
    named = ("redactor", "ptars", "values to text", "digests")
    found["columns and the rest"] = round(found["in all"] - sum(found[n] for n in named), 2)
    return found


PROTO = """
syntax = "proto3";
message V { string string_value = 1; bool bool_value = 2; int64 int_value = 3;
  double double_value = 4; bytes array_value = 5; bytes kvlist_value = 6; bytes bytes_value = 7; }
message A { string key = 1; V value = 2; }
message Status { string message = 2; int32 code = 3; }
message Span { bytes trace_id = 1; bytes span_id = 2; string name = 5; int32 kind = 6;
  fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated A attributes = 9;
  Status status = 15; }
message Scope { string name = 1; string version = 2; }
message Scoped { Scope scope = 1; repeated Span spans = 2; }
message Resource { repeated A attributes = 1; }
message Group { Resource resource = 1; repeated Scoped scoped = 2; }
message Request { repeated Group groups = 1; }
"""
PAIRS = (
    "Array(Tuple(key String, value Tuple(string_value String, bool_value UInt8, int_value Int64,"
    " double_value Float64, array_value String, kvlist_value String, bytes_value String)))"
)
STRUCTURE = (
    f"groups Array(Tuple(resource Tuple(attributes {PAIRS}), scoped Array(Tuple(scope Tuple("
    "name String, version String), spans Array(Tuple(trace_id String, span_id String, name String,"
    " kind Int32, start_time_unix_nano UInt64, end_time_unix_nano UInt64,"
    f" attributes {PAIRS}, status Tuple(message String, code Int32)))))))"
)


def column_walk(body: bytes) -> pa.RecordBatch:
    """The shortest walk over upb objects into column lists: no events, links, types or checks."""
    trace, span_ids, names, starts, ends = [], [], [], [], []
    keys: list[str] = []
    values: list[str] = []
    offsets = [0]
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scoped in group.scope_spans:
            for span in scoped.spans:
                trace.append(span.trace_id.hex())
                span_ids.append(span.span_id.hex())
                names.append(span.name)
                starts.append(span.start_time_unix_nano)
                ends.append(span.end_time_unix_nano)
                for item in span.attributes:
                    keys.append(item.key)
                    value = item.value
                    text = value.string_value
                    if not text:
                        number = value.int_value
                        text = str(number) if number else reference.text(value)
                    values.append(text)
                offsets.append(len(keys))
    maps = pa.MapArray.from_arrays(offsets, pa.array(keys), pa.array(values))
    columns = [pa.array(column) for column in (trace, span_ids, names, starts, ends)]
    return pa.RecordBatch.from_arrays([*columns, maps], names=list("tsnbea"))


def engine(body: bytes, folder: Path) -> Callable[[], Any]:
    """ClickHouse ProtobufSingle: ids, names, times and the text attributes only."""
    from chdb.session import Session

    file = folder / "request.bin"
    file.write_bytes(body)
    session: Any = Session()  # type: ignore[no-untyped-call]  # chdb has no types
    query = (
        "SELECT lower(hex(span.trace_id)), lower(hex(span.span_id)), span.name, span.kind,"
        " span.start_time_unix_nano, span.end_time_unix_nano, s.scope.name,"
        " mapFromArrays(span.attributes.key,"
        " arrayMap(v -> v.string_value, span.attributes.value))"
        f" FROM file('{file}', 'ProtobufSingle', '{STRUCTURE}')"
        " ARRAY JOIN groups AS g ARRAY JOIN g.scoped AS s ARRAY JOIN s.spans AS span"
        f" SETTINGS format_schema_source='string', format_schema='{PROTO}',"
        " format_schema_message_name='Request'"
    )

    def run() -> int:
        stream = pa.ipc.open_stream(session.query(query, "ArrowStream").bytes())
        return int(stream.read_all().num_rows)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=512, help="spans per request")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each figure")
    parser.add_argument("--others", action="store_true", help="also the decoders not chosen")
    args = parser.parse_args()
    pool = build_pool(max(2, args.spans // 20), args.spans, seed=1)
    now_ns = time.time_ns()
    body = pool[0].stamp(1, now_ns - MINUTE_NS)
    spans, seconds = pool[0].spans, args.seconds

    plain = Decoder()
    figures: dict[str, Any] = {
        "spans": spans,
        "bytes_per_span": len(body) // spans,
        "decoder": cost_us(lambda: plain.traces(body, received_at_ns=now_ns), spans, seconds),
    }
    figures["request of 8 spans, us"] = small_request_us(plain, seconds, now_ns)
    if args.others:
        parse = ExportTraceServiceRequest.FromString
        figures["upb, parse only"] = cost_us(lambda: parse(body), spans, seconds)
        walk = cost_us(lambda: reference.spans(body), spans, seconds)
        figures["reference of the tests: upb, walked to rows"] = walk
        walk = cost_us(lambda: column_walk(body), spans, seconds)
        figures["upb, walked to some columns"] = walk
        with tempfile.TemporaryDirectory() as folder:
            run = engine(body, Path(folder))
            began, rounds = time.process_time(), 10
            for _ in range(rounds):
                assert run() == spans
            spent = time.process_time() - began
        figures["ClickHouse ProtobufSingle"] = round(spent / rounds / spans * 1e6, 2)
    # Last: it patches the modules it measures.
    figures["decoder by stage, redaction on"] = by_stage(body, spans, seconds, now_ns)
    json.dump(figures, sys.stdout, indent=1)
    sys.stdout.write("\n")


def small_request_us(decoder: Decoder, seconds: float, now_ns: int) -> float:
    """What a request costs whatever it holds: microseconds of CPU."""
    payload = build_pool(2, 8, seed=1)[0]
    body = payload.stamp(1, now_ns - MINUTE_NS)
    return cost_us(lambda: decoder.traces(body, received_at_ns=now_ns), 1, seconds)


if __name__ == "__main__":
    main()
