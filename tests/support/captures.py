"""Reads a capture folder (OTLP/JSON) into span views, events and its ground truth, in plain Python.

Independent of the collector's decoder, so that tests of the pure core need nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from otel_agentrun.step import Event, SpanEvent, SpanView, as_text

FOLDER: Final = Path(__file__).parent.parent / "captures"
KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
CODES: Final = ("Unset", "Ok", "Error")


def sources() -> list[str]:
    """Names of the captures in `tests/captures/`."""
    return sorted(path.parent.name for path in FOLDER.glob("*/meta.yaml"))


def folder(source: str) -> Path:
    return FOLDER / source


def truth(path: Path) -> dict[str, Any]:
    """`meta.yaml`: versions and the scripted outcome of every run."""
    loaded: dict[str, Any] = yaml.safe_load((path / "meta.yaml").read_text())
    return loaded


def spans(path: Path, *, text: bool = True) -> list[SpanView]:
    """Every span, in file order; attribute values as text (as the store holds them) or typed."""
    found: list[SpanView] = []
    for resource_spans in _documents(path / "traces.otlp.json", "resourceSpans"):
        resource = _attributes(resource_spans.get("resource", {}).get("attributes"), text)
        for scope_spans in resource_spans.get("scopeSpans", ()):
            scope = scope_spans.get("scope", {})
            found.extend(
                _span(span, scope, resource, text) for span in scope_spans.get("spans", ())
            )
    return found


def events(path: Path) -> list[Event]:
    """Every log record that has an event name (field or attribute), in file order."""
    file = path / "logs.otlp.json"
    if not file.exists():
        return []
    found: list[Event] = []
    for resource_logs in _documents(file, "resourceLogs"):
        for scope_logs in resource_logs.get("scopeLogs", ()):
            for record in scope_logs.get("logRecords", ()):
                attributes = _attributes(record.get("attributes"), True)
                name = record.get("eventName") or attributes.get("event.name", "")
                if name:
                    found.append(_event(name, record, attributes))
    return found


def by_trace(path: Path, *, text: bool = True) -> dict[str, list[SpanView]]:
    """Spans by trace id, each list by (start, span id)."""
    grouped: dict[str, list[SpanView]] = {}
    for span in spans(path, text=text):
        grouped.setdefault(span.trace_id, []).append(span)
    for group in grouped.values():
        group.sort(key=lambda span: (span.start_ns, span.span_id))
    return grouped


def _documents(file: Path, key: str) -> Iterator[Mapping[str, Any]]:
    """Export requests of a file: one JSON document, or one per line."""
    for line in file.read_text().splitlines():
        if line.strip():
            yield from json.loads(line).get(key, ())


def _span(
    span: Mapping[str, Any], scope: Mapping[str, Any], resource: Mapping[str, Any], text: bool
) -> SpanView:
    status = span.get("status") or {}
    return SpanView(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_span_id=span.get("parentSpanId", ""),
        name=span.get("name", ""),
        kind=KINDS[int(span.get("kind", 0))],
        scope=scope.get("name", ""),
        scope_version=scope.get("version", ""),
        start_ns=int(span.get("startTimeUnixNano", 0)),
        end_ns=int(span.get("endTimeUnixNano", 0)),
        status_code=CODES[int(status.get("code", 0))],
        status_message=status.get("message", ""),
        attributes=_attributes(span.get("attributes"), text),
        resource=resource,
        events=[
            SpanEvent(
                event.get("name", ""),
                int(event.get("timeUnixNano", 0)),
                _attributes(event.get("attributes"), text),
            )
            for event in span.get("events", ())
        ],
        links=[(link["traceId"], link["spanId"]) for link in span.get("links", ())],
    )


def _event(name: str, record: Mapping[str, Any], attributes: dict[str, Any]) -> Event:
    return Event(
        event_id=hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16],
        name=name,
        at_ns=int(record.get("timeUnixNano") or record.get("observedTimeUnixNano") or 0),
        trace_id=record.get("traceId", ""),
        span_id=record.get("spanId", ""),
        run_id=attributes.get("agentrun.run.id", ""),
        attributes=attributes,
        body="" if not record.get("body") else as_text(_value(record["body"])),
    )


def _attributes(listed: list[dict[str, Any]] | None, text: bool) -> dict[str, Any]:
    found = {}
    for item in listed or ():
        value = _value(item.get("value"))
        found[item["key"]] = ("" if value is None else as_text(value)) if text else value
    return found


def _value(value: Mapping[str, Any] | None) -> Any:
    if not value:
        return None
    ((branch, held),) = value.items()
    if branch == "intValue":
        return int(held)
    if branch == "doubleValue":
        return float("nan") if held is None else float(held)
    if branch == "arrayValue":
        return [_value(item) for item in held.get("values", ())]
    if branch == "kvlistValue":
        return {item["key"]: _value(item.get("value")) for item in held.get("values", ())}
    return held
