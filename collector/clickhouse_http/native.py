"""The first block of a clickhouse-go connection.

The driver asks for name, version, revision and timezone, and always decodes that block as a server
of its own revision writes it: with block info, and a byte per column about serialization.  chDB
writes Native as revision 0, without both.  So this block is written here, and says revision 0:
every later block is then decoded as chDB writes it.
Source: ClickHouse/clickhouse-go, conn_http.go and lib/proto/block.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

HELLO: Final = re.compile(
    r"SELECT\s+displayName\(\)\s*,\s*version\(\)\s*,\s*revision\(\)\s*,\s*timezone\(\)\s*;?",
    re.IGNORECASE,
)
BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Not an overflow block, bucket -1, no more fields."""


def is_hello(sql: str, default_format: str, parameters: Mapping[str, str]) -> bool:
    protocol = parameters.get("client_protocol_version", "0")
    asks = protocol.isdecimal() and int(protocol) > 0 and default_format == "Native"
    return asks and HELLO.fullmatch(sql.strip()) is not None


def hello(name: str, version: str, timezone: str) -> bytes:
    """One row of four columns."""
    columns = (
        ("displayName()", "String", _text(name)),
        ("version()", "String", _text(version)),
        ("revision()", "UInt32", (0).to_bytes(4, "little")),
        ("timezone()", "String", _text(timezone)),
    )
    body = b"".join(_text(title) + _text(kind) + b"\x00" + data for title, kind, data in columns)
    return BLOCK_INFO + _varint(len(columns)) + _varint(1) + body


def _text(value: str) -> bytes:
    data = value.encode()
    return _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
