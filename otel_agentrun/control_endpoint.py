"""Where the control stream goes, by the settings of OTLP: same host, same headers, same trust."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

__all__ = ["ControlEndpoint", "control_endpoint"]

CONTROL: Final = "OTEL_AGENTRUN_CONTROL"
PORT: Final = 4317
HTTP_PORT: Final = 4318
EXPORTER: Final = "OTEL_EXPORTER_OTLP_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlEndpoint:
    """A collector's OTLP/gRPC port."""

    address: str
    """`host:port`."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Keys are of small letters."""
    is_secure: bool = False
    """TLS; `ca`, `certificate` and `key` are PEM, as far as variables name files of them."""
    ca: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    is_asked_for: bool = False
    """Somebody wants it: worth a warning where there is none."""


def control_endpoint(
    control: bool | str | None,
    *,
    endpoint: str = "",
    headers: Mapping[str, str] | None = None,
    is_default: bool = True,
) -> ControlEndpoint | None:
    """By the argument `control`, else `OTEL_AGENTRUN_CONTROL`, else (if `is_default`) beside OTLP:
    port 4317 of the host that takes it over HTTP, the very port where it goes over gRPC.

    `endpoint` and `headers` are what `install` was given for OTLP.  Raises `ValueError` for what is
    no address and OSError for a certificate that cannot be read.
    """
    wanted = control if control is not None else _wanted()
    if wanted is False or (wanted is None and not is_default):
        return None
    is_grpc = _said("PROTOCOL").lower() == "grpc"
    if isinstance(wanted, str):
        address, is_secure = _address(wanted, has_port=True)
    else:
        otlp = endpoint or _said("ENDPOINT") or f"http://localhost:{HTTP_PORT}"
        address, is_secure = _address(otlp, has_port=is_grpc)
        if is_grpc and "://" not in otlp:  # a rule of OTLP/gRPC
            is_secure = _said("INSECURE").lower() != "true"
    given = dict(headers or {}) or parse_env_headers(_said("HEADERS"), liberal=True)
    return ControlEndpoint(
        address=address,
        headers=tuple((name.lower(), value) for name, value in given.items()),
        is_secure=is_secure,
        ca=_file("CERTIFICATE") if is_secure else None,
        certificate=_file("CLIENT_CERTIFICATE") if is_secure else None,
        key=_file("CLIENT_KEY") if is_secure else None,
        is_asked_for=wanted is not None,
    )


def _wanted() -> bool | str | None:
    text = os.environ.get(CONTROL, "").strip()
    return {"": None, "true": True, "false": False}.get(text.lower(), text)


def _said(name: str) -> str:
    """What the variables say of OTLP log records, which the reports are."""
    own = os.environ.get(f"{EXPORTER}LOGS_{name}", "").strip()
    return own or os.environ.get(f"{EXPORTER}{name}", "").strip()


def _file(name: str) -> bytes | None:
    path = _said(name)
    return Path(path).read_bytes() if path else None


def _address(url: str, *, has_port: bool) -> tuple[str, bool]:
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if not host or parts.scheme not in ("http", "https", "grpc", "grpcs"):
        raise ValueError(
            f"control: expected an address such as http://127.0.0.1:{PORT}, got {url!r}.\n"
            "  Fix: give the collector's OTLP/gRPC port, or False for no control stream."
        )
    if ":" in host:
        host = f"[{host}]"
    is_secure = parts.scheme in ("https", "grpcs")
    return f"{host}:{(has_port and port) or PORT}", is_secure
