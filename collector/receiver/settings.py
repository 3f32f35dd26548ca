"""What the receivers are started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """PEM files, read once at start."""

    cert_file: Path
    """Certificate chain, the server's own first."""
    key_file: Path
    """Private key, not encrypted."""
    client_ca_file: Path | None = None
    """When given, clients must show a certificate signed by one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Size limits of export requests, in bytes; shared by both servers."""

    request_bytes_max: int = 16 * MIB
    """One request as sent, that is compressed if the sender compresses."""
    decompressed_bytes_max: int = 64 * MIB
    """One request after inflating."""
    inflight_bytes_max: int = 256 * MIB
    """All requests that wait for their acknowledgment; past it senders are told to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcSettings:
    """OTLP/gRPC and whatever else is served on its port."""

    host: str = "127.0.0.1"
    port: int = 4317
    """0 takes a free port, which `serve` reports."""
    tls: TlsSettings | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """OTLP/HTTP."""

    host: str = "127.0.0.1"
    port: int = 4318
    """0 takes a free port, which `serve` reports."""
    tls: TlsSettings | None = None
    limits: Limits = Limits()
    head_secs: float = 10.0
    """Time in which the request line and headers must arrive."""
    body_secs: float = 30.0
    """Time in which the body must arrive."""
    allowed_hosts: tuple[str, ...] = ()
    """Names in the Host header taken besides loopback ones; only asked where neither API keys nor
    TLS keep web pages out."""
    allowed_origins: tuple[str, ...] = ()
    """Values of the Origin header taken; browsers send it, exporters do not."""
