"""A copy of the OTLP messages without recursion, for the `ptars` decoder.

Wire-compatible with opentelemetry-proto v1 (trace.proto, logs.proto, common.proto): same field
numbers and wire types, only the fields that are stored.  One difference: an AnyValue stays
serialized, as `repeated bytes`.  Arrow has no recursive types, and `otlp_values` reads the bytes of
a whole column at a third of what a column for each branch costs.  `repeated` shows where a value
is absent, or sent in parts that have to be merged.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from ptars import HandlerPool

from collector.model import Signal

PACKAGE: Final = "agentrun.otlp"

MESSAGES: Final = {
    "KeyValue": "1 key string | 2 value bytes*",
    "Resource": "1 attributes KeyValue*",
    "Scope": "1 name string | 2 version string | 3 attributes KeyValue*",
    "Event": "1 time_unix_nano fixed64 | 2 name string | 3 attributes KeyValue*",
    "Link": "1 trace_id bytes | 2 span_id bytes | 3 trace_state string | 4 attributes KeyValue*",
    "Status": "2 message string | 3 code int32",
    "Span": "1 trace_id bytes | 2 span_id bytes | 3 trace_state string | 4 parent_span_id bytes"
    " | 5 name string | 6 kind int32 | 7 start_time_unix_nano fixed64"
    " | 8 end_time_unix_nano fixed64 | 9 attributes KeyValue* | 11 events Event* | 13 links Link*"
    " | 15 status Status | 16 flags fixed32",
    "LogRecord": "1 time_unix_nano fixed64 | 2 severity_number int32 | 3 severity_text string"
    " | 5 body bytes* | 6 attributes KeyValue* | 8 flags fixed32 | 9 trace_id bytes"
    " | 10 span_id bytes | 11 observed_time_unix_nano fixed64 | 12 event_name string",
    "ScopeSpans": "1 scope Scope | 2 items Span* | 3 schema_url string",
    "ScopeLogs": "1 scope Scope | 2 items LogRecord* | 3 schema_url string",
    "ResourceSpans": "1 resource Resource | 2 scoped ScopeSpans* | 3 schema_url string",
    "ResourceLogs": "1 resource Resource | 2 scoped ScopeLogs* | 3 schema_url string",
    "Traces": "1 groups ResourceSpans*",
    "Logs": "1 groups ResourceLogs*",
}
"""Message -> fields as `number name type`; `*` is repeated."""

SCALARS: Final = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "fixed32": FieldDescriptorProto.TYPE_FIXED32,
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "string": FieldDescriptorProto.TYPE_STRING,
}


def file_descriptor() -> FileDescriptorProto:
    """The messages as one self-contained proto3 file."""
    file = FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    for message_name, fields in MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for spec in fields.split(" | "):
            number, name, kind = spec.split()
            field = message.field.add(name=name, number=int(number))
            field.label = (
                FieldDescriptorProto.LABEL_REPEATED
                if kind.endswith("*")
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            base = kind.removesuffix("*")
            if base in SCALARS:
                field.type = SCALARS[base]
            else:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{PACKAGE}.{base}"
    return file


def handler(signal: Signal) -> Any:
    """A `ptars` handler that turns request bytes of `signal` into a nested record batch."""
    pool = DescriptorPool()
    pool.Add(file_descriptor())
    name = {Signal.TRACES: "Traces", Signal.LOGS: "Logs"}[signal]
    descriptor = pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
    return HandlerPool([descriptor.file]).get_for_message(descriptor)


def to_nested(handler: Any, body: bytes) -> pa.RecordBatch:
    """One row of nested columns.  Raises ValueError where the decoder cannot take the request."""
    try:
        return handler.list_to_record_batch([body])
    except BaseException as error:
        # Rust panics on a length of 2**63 or more; the class, no Exception, cannot be imported.
        if type(error).__name__ == "PanicException":
            raise ValueError(f"the decoder failed: {error}") from error
        raise
