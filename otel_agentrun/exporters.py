"""OTLP exporters as the `OTEL_*` variables want them; imported only when asked for.

`OTEL_TRACES_EXPORTER` and `OTEL_LOGS_EXPORTER` name exporters (`otlp`, `console`, `none`, or any
that is installed), `OTEL_EXPORTER_OTLP_PROTOCOL` is `http/protobuf` unless it says `grpc`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Final, Literal

from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Target", "log_exporters", "span_exporters"]

Signal = Literal["traces", "logs"]

PACKAGES: Final[Mapping[str, str]] = {
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to export; what is empty is for the variables to say."""

    endpoint: str = ""
    """Base address: `http://127.0.0.1:4318`, or `host:4317` with gRPC."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def span_exporters(target: Target) -> list[SpanExporter]:
    """Raises `ImportError` that says what to install, and `ValueError` for an unknown name."""
    return _exporters("traces", target)


def log_exporters(target: Target) -> list[LogRecordExporter]:
    """Raises `ImportError` that says what to install, and `ValueError` for an unknown name."""
    return _exporters("logs", target)


def _exporters(signal: Signal, target: Target) -> list[Any]:
    names = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "") or "otlp"
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return [_exporter(signal, name, target) for name in wanted if name.lower() != "none"]


def _exporter(signal: Signal, name: str, target: Target) -> Any:
    if name == "otlp":
        name = "otlp_proto_grpc" if _protocol(signal) == "grpc" else "otlp_proto_http"
    if name == "otlp_proto_http":
        return _http(signal, target)
    found = next(iter(entry_points(group=f"opentelemetry_{signal}_exporter", name=name)), None)
    if found is None:
        if name in PACKAGES:
            raise ImportError(_install(PACKAGES[name]))
        raise ValueError(f"OTEL_{signal.upper()}_EXPORTER: no exporter {name!r} is installed")
    if name == "otlp_proto_grpc" and (target.endpoint or target.headers):
        headers = tuple(target.headers.items()) or None
        return found.load()(endpoint=target.endpoint or None, headers=headers)
    return found.load()()


def _http(signal: Signal, target: Target) -> Any:
    exporter: Any
    try:
        if signal == "traces":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter
        else:
            from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

            exporter = OTLPLogExporter
    except ImportError as missing:
        raise ImportError(_install(PACKAGES["otlp_proto_http"])) from missing
    endpoint = f"{target.endpoint.rstrip('/')}/v1/{signal}" if target.endpoint else None
    return exporter(endpoint=endpoint, headers=dict(target.headers) or None)


def _protocol(signal: Signal) -> str:
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "")
    return (own or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")).strip().lower()


def _install(package: str) -> str:
    return (
        f"install() exports with {package}, which is not installed.\n  Fix: pip install {package}"
    )
