"""Load of many dialects: every capture of `tests/captures/`, with fresh ids and times on each pass.

The counterpart of `otlp_load.build_pool`, whose runs are plain GenAI spans of one size.  What is
repeated is ids and times; contents are those of the captures, as long and as nested as their
emitters send them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.model import Signal
from collector.receiver import otlp_json
from tests.bench.otlp_load import Payload
from tests.support import captures

DEPTH_MAX = 64
START_NS = 1_000_000_000
"""Captures begin here; `Payload.stamp` shifts them to the present."""
EXPORT_SPANS = 64
"""Spans of one capture that stay together: exports of several applications arrive in turns."""


def build_mix(copies: int, batch: int, seed: int) -> list[Payload]:
    """Requests of `batch` spans that hold each capture `copies` times, each copy in traces of its
    own; a copy's spans keep the order in which they were exported."""
    rng = random.Random(seed)
    sent = [list(_requests(source)) for source in captures.sources()]
    streams = [_exports(requests, seed, copy) for requests in sent for copy in range(copies)]
    payloads, request, spans = [], ExportTraceServiceRequest(), 0
    while streams:
        stream = rng.choice(streams)
        export = next(stream, None)
        if export is None:
            streams.remove(stream)
            continue
        for resource_spans, scope_spans, span in export:
            group = _group(request, resource_spans)
            if not group.scope_spans or group.scope_spans[-1].scope != scope_spans.scope:
                group.scope_spans.add().scope.CopyFrom(scope_spans.scope)
            group.scope_spans[-1].spans.append(span)
            spans += 1
            if spans == batch:
                payloads.append(Payload(request.SerializeToString(), spans))
                request, spans = ExportTraceServiceRequest(), 0
    if spans:
        payloads.append(Payload(request.SerializeToString(), spans))
    return payloads


def _requests(source: str) -> Iterator[Any]:
    """The capture's export requests, its earliest span at START_NS."""
    found = []
    for line in (captures.folder(source) / "traces.otlp.json").read_bytes().splitlines():
        if line.strip():
            body, _ = otlp_json.to_protobuf(line, Signal.TRACES, DEPTH_MAX)
            found.append(ExportTraceServiceRequest.FromString(body))
    spans = [span for request in found for _, _, span in _spans(request)]
    first_ns = min(span.start_time_unix_nano for span in spans)
    for span in spans:
        for timed in (span, *span.events):
            for field in ("start_time_unix_nano", "end_time_unix_nano", "time_unix_nano"):
                if getattr(timed, field, 0):
                    setattr(timed, field, getattr(timed, field) - first_ns + START_NS)
    yield from found


def _spans(request: Any) -> Iterator[tuple[Any, Any, Any]]:
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield resource_spans, scope_spans, span


def _exports(requests: list[Any], seed: int, copy: int) -> Iterator[list[tuple[Any, Any, Any]]]:
    """A copy's spans in their order, up to EXPORT_SPANS at a time, in traces of the copy's own."""
    export: list[tuple[Any, Any, Any]] = []
    mark = (seed & 0xFF).to_bytes(1, "big") + copy.to_bytes(2, "big")
    for request in requests:
        for resource_spans, scope_spans, span in _spans(request):
            own = type(span)()
            own.CopyFrom(span)
            for named in (own, *own.links):
                # The first four bytes are overwritten with the number of the pass.
                named.trace_id = named.trace_id[:4] + mark + named.trace_id[7:]
            export.append((resource_spans, scope_spans, own))
            if len(export) == EXPORT_SPANS:
                yield export
                export = []
    if export:
        yield export


def _group(request: Any, resource_spans: Any) -> Any:
    """The last group of the request when it has this resource, else a new one."""
    groups = request.resource_spans
    if not groups or groups[-1].resource != resource_spans.resource:
        groups.add().resource.CopyFrom(resource_spans.resource)
    return groups[-1]
