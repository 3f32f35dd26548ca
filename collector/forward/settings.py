"""What a backend needs to be sent to: plain values, as they travel to the forwarding process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

Protocol = Literal["grpc", "http"]
Compression = Literal["gzip", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One OTLP backend."""

    name: str
    endpoint: str
    """`http://host:port` (plain text) or `https://host:port`; for HTTP with a path before `/v1`."""
    directory: str
    """Its spool."""
    protocol: Protocol = "grpc"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    header_files: Mapping[str, str] = field(default_factory=dict)
    """Header -> file that holds its value; read again when the backend refuses it."""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    compression: Compression = "gzip"
    match: str = ""
    """Match expression; "" matches everything."""
    logs: bool = False
    enrich: bool = True
    batch_items_max: int = 2000
    batch_bytes_max: int = 3 << 20
    timeout_secs: float = 10.0
    buffer_bytes_max: int = 256 << 20

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Backend:
        return cls(**json.loads(text))
