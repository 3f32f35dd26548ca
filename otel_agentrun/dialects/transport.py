"""Spans that no dialect recognizes: HTTP, RPC, database and messaging plumbing, and unknown ones.

Source: open-telemetry/semantic-conventions, model/{http,rpc,database,messaging}, old and new names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_agentrun.dialects import kinds
from otel_agentrun.step import Kind, Role, SpanView

NAME: Final = ""
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "agent_name": ("gen_ai.agent.name",),
    "endpoint": ("url.full", "http.url", "server.address", "net.peer.name"),
}

MARKS: Final = (
    "http.request.method",
    "http.method",
    "url.full",
    "http.url",
    "rpc.system",
    "rpc.system.name",
    "db.system.name",
    "db.system",
    "messaging.system",
    "faas.trigger",
)
ALSO_READ: Final = frozenset(MARKS)
SCOPES: Final = (
    "opentelemetry.instrumentation.httpx",
    "opentelemetry.instrumentation.requests",
    "opentelemetry.instrumentation.urllib",
    "opentelemetry.instrumentation.aiohttp",
    "opentelemetry.instrumentation.grpc",
    "opentelemetry.instrumentation.asgi",
    "opentelemetry.instrumentation.wsgi",
    "@opentelemetry/instrumentation-http",
    "@opentelemetry/instrumentation-undici",
)


def recognizes(span: SpanView) -> bool:
    return True


def kind(span: SpanView) -> Kind:
    return kinds.OTHER


def role(span: SpanView, kind: Kind) -> Role:
    attributes = span.attributes
    for mark in MARKS:
        if mark in attributes:
            return kinds.TRANSPORT
    return kinds.TRANSPORT if span.scope.startswith(SCOPES) else kinds.NO_ROLE
