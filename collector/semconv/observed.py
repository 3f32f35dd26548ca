"""OTLP as what the check reads: resources, spans, events and log records with typed values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector import model
from collector.errors import PermanentError
from collector.receiver.otlp_json import iter_requests, to_protobuf
from collector.semconv.problem import Observed, Signal

DEPTH_MAX: Final = 32
"""Nesting of attribute values in JSON; protobuf's own limit is 100."""
SPAN_KINDS: Final = {
    number: name.removeprefix("SPAN_KIND_").lower() for name, number in Span.SpanKind.items()
}
EVENT_NAME: Final = "event.name"
"""Where SDKs put the name of an event before OTLP had a field for it."""

Unreadable = list[str]
"""Places that hold no OTLP, in words."""


def read(files: Iterable[Path], unreadable: Unreadable) -> Iterator[Observed]:
    """Everything in files of OTLP/JSON lines or OTLP protobuf, as `agentrun ingest` takes them.

    What cannot be read goes to `unreadable`, and the rest is read.  Metrics are passed over.
    Raises OSError.
    """

    def note(error: PermanentError) -> None:
        unreadable.append(str(error))

    for path in files:
        requests = iter_requests(path, note)
        for number, (signal, encoding, body) in enumerate(requests, 1):
            where = f"{path}, request {number}"
            if signal not in (model.Signal.TRACES, model.Signal.LOGS):
                continue
            try:
                if encoding == "json":
                    body, refused = to_protobuf(body, signal, DEPTH_MAX)
                    unreadable.extend(f"{where}: {n} items: {why}" for why, n in refused.items())
                if signal is model.Signal.TRACES:
                    yield from of_traces(ExportTraceServiceRequest.FromString(body), str(path))
                else:
                    yield from of_logs(ExportLogsServiceRequest.FromString(body), str(path))
            except (PermanentError, DecodeError) as error:
                unreadable.append(f"{where}: {error}")


def of_traces(request: ExportTraceServiceRequest, where: str = "") -> Iterator[Observed]:
    """The resources, spans and span events of a request."""
    for group in request.resource_spans:
        yield _resource(group.resource.attributes, where)
        for scoped in group.scope_spans:
            for span in scoped.spans:
                place = _place(where, span.trace_id, span.span_id)
                yield Observed(
                    signal=Signal.SPAN,
                    name=span.name,
                    kind=SPAN_KINDS.get(span.kind, ""),
                    failed=span.status.code == Status.STATUS_CODE_ERROR,
                    attributes=values(span.attributes),
                    where=place,
                )
                for event in span.events:
                    yield Observed(
                        signal=Signal.SPAN_EVENT,
                        name=event.name,
                        in_trace=True,
                        attributes=values(event.attributes),
                        where=place,
                    )


def of_logs(request: ExportLogsServiceRequest, where: str = "") -> Iterator[Observed]:
    """The resources, events and log records of a request."""
    for group in request.resource_logs:
        yield _resource(group.resource.attributes, where)
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                attributes = values(record.attributes)
                name = record.event_name or str(attributes.get(EVENT_NAME, ""))
                yield Observed(
                    signal=Signal.EVENT if name else Signal.LOG,
                    name=name,
                    in_trace=bool(record.trace_id),
                    attributes=attributes,
                    where=_place(where, record.trace_id, record.span_id),
                )


def values(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    """Attributes as Python values; the last of a repeated key."""
    return {one.key: value(one.value) for one in attributes}


def value(sent: AnyValue) -> Any:
    """`None` for an empty value."""
    branch = sent.WhichOneof("value")
    if branch is None:
        return None
    if branch == "array_value":
        return [value(one) for one in sent.array_value.values]
    if branch == "kvlist_value":
        return values(sent.kvlist_value.values)
    return getattr(sent, branch)


def _resource(attributes: Sequence[KeyValue], where: str) -> Observed:
    return Observed(signal=Signal.RESOURCE, attributes=values(attributes), where=where)


def _place(where: str, trace_id: bytes, span_id: bytes) -> str:
    ids = [f"trace {trace_id.hex()}"] if trace_id else []
    ids += [f"span {span_id.hex()}"] if span_id else []
    return ", ".join([where, *ids] if where else ids)
