"""The reference decoder: the official protobuf classes, one Python object per attribute.

Slow and obvious.  It follows the text rule of `collector.model` by its own code, so that agreement
with the column decoder says something.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"]
STATUSES = ["Unset", "Ok", "Error"]
BRANCHES = [
    None,
    "string_value",
    "bool_value",
    "int_value",
    "double_value",
    "array_value",
    "kvlist_value",
    "bytes_value",
]

Row = dict[str, Any]


def number_word(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def inside(value: Any) -> Any:
    """A nested AnyValue as JSON can hold it."""
    branch = value.WhichOneof("value")
    if branch == "array_value":
        return [inside(item) for item in value.array_value.values]
    if branch == "kvlist_value":
        return {item.key: inside(item.value) for item in value.kvlist_value.values}
    if branch == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if branch == "double_value" and not math.isfinite(value.double_value):
        return number_word(value.double_value)
    return None if branch is None else getattr(value, branch)


def text(value: Any) -> str:
    content = inside(value)
    match value.WhichOneof("value"):
        case None:
            return ""
        case "bool_value":
            return "true" if content else "false"
        case "string_value" | "bytes_value":
            return str(content)
        case "int_value" | "double_value":
            return str(content)
        case _:
            return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def pairs(attributes: Any) -> list[tuple[str, str]]:
    """Key and text in order of the entry that counts: the last one of its key."""
    last = {item.key: index for index, item in enumerate(attributes)}
    return [(k.key, text(k.value)) for i, k in enumerate(attributes) if last[k.key] == i]


def types(attributes: Any) -> list[int]:
    last = {item.key: index for index, item in enumerate(attributes)}
    kept = [item for index, item in enumerate(attributes) if last[item.key] == index]
    return [BRANCHES.index(item.value.WhichOneof("value")) for item in kept]


def name(names: list[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[0]


def parent(span_id: bytes) -> str:
    return "" if span_id == bytes(8) else span_id.hex()


def spans(body: bytes) -> list[Row]:
    """Rows without arrival and Version; times are integers."""
    rows: list[Row] = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = pairs(group.resource.attributes)
        for scoped in group.scope_spans:
            rows.extend(
                {
                    "Timestamp": span.start_time_unix_nano,
                    "TraceId": span.trace_id.hex(),
                    "SpanId": span.span_id.hex(),
                    "ParentSpanId": parent(span.parent_span_id),
                    "TraceState": span.trace_state,
                    "SpanName": span.name,
                    "SpanKind": name(KINDS, span.kind),
                    "ServiceName": dict(resource).get("service.name", ""),
                    "ResourceAttributes": resource,
                    "ScopeName": scoped.scope.name,
                    "ScopeVersion": scoped.scope.version,
                    "SpanAttributes": pairs(span.attributes),
                    "Duration": span.end_time_unix_nano - span.start_time_unix_nano,
                    "StatusCode": name(STATUSES, span.status.code),
                    "StatusMessage": span.status.message,
                    "Events.Timestamp": [event.time_unix_nano for event in span.events],
                    "Events.Name": [event.name for event in span.events],
                    "Events.Attributes": [pairs(event.attributes) for event in span.events],
                    "Links.TraceId": [link.trace_id.hex() for link in span.links],
                    "Links.SpanId": [link.span_id.hex() for link in span.links],
                    "Links.TraceState": [link.trace_state for link in span.links],
                    "Links.Attributes": [pairs(link.attributes) for link in span.links],
                    "Flags": span.flags,
                    "SpanAttributeTypes": types(span.attributes),
                }
                for span in scoped.spans
            )
    return rows


def logs(body: bytes, received_at_ns: int) -> list[Row]:
    """Rows without arrival and RecordId; times are integers."""
    rows: list[Row] = []
    for group in ExportLogsServiceRequest.FromString(body).resource_logs:
        resource = pairs(group.resource.attributes)
        for scoped in group.scope_logs:
            for log in scoped.log_records:
                attributes = pairs(log.attributes)
                rows.append(
                    {
                        "Timestamp": log.time_unix_nano
                        or log.observed_time_unix_nano
                        or received_at_ns,
                        "TraceId": "" if log.trace_id == bytes(16) else log.trace_id.hex(),
                        "SpanId": parent(log.span_id),
                        "TraceFlags": log.flags & 0xFF,
                        "SeverityText": log.severity_text,
                        "SeverityNumber": min(max(log.severity_number, 0), 255),
                        "ServiceName": dict(resource).get("service.name", ""),
                        "Body": text(log.body),
                        "ResourceSchemaUrl": group.schema_url,
                        "ResourceAttributes": resource,
                        "ScopeSchemaUrl": scoped.schema_url,
                        "ScopeName": scoped.scope.name,
                        "ScopeVersion": scoped.scope.version,
                        "ScopeAttributes": pairs(scoped.scope.attributes),
                        "LogAttributes": attributes,
                        "EventName": log.event_name or dict(attributes).get("event.name", ""),
                    }
                )
    return rows
