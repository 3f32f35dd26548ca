"""Bytes on the wire of ClickHouse's HTTP interface: content encodings, forms, Arrow streams."""

from __future__ import annotations

import email.parser
import email.policy
import gzip
import zlib
from typing import Final

import pyarrow as pa
from backports import zstd
from lz4 import frame as lz4  # type: ignore[import-untyped]  # lz4 publishes no types

from tests.support.clickhouse_statement import ServerError

PREFERRED: Final = ("zstd", "lz4", "gzip", "deflate")
"""In the order in which a server chooses; source: ClickHouse, src/IO/CompressionMethod.cpp."""


def decoded(data: bytes, encoding: str) -> bytes:
    """Undo a request's Content-Encoding.  Raises ServerError."""
    try:
        match encoding.strip().lower():
            case "" | "identity":
                return data
            case "zstd":
                return zstd.decompress(data)
            case "lz4":
                return _lz4_frames(data)
            case "gzip":
                return gzip.decompress(data)
            case "deflate":
                return zlib.decompress(data)
    except (RuntimeError, zlib.error, zstd.ZstdError, EOFError, OSError) as error:
        raise ServerError(354, "ZLIB_INFLATE_FAILED", f"{encoding}: {error}") from error
    raise ServerError(48, "NOT_IMPLEMENTED", f"Content-Encoding {encoding!r} is not supported")


def _lz4_frames(data: bytes) -> bytes:
    """A client that streams sends a frame per block."""
    whole = []
    while data:
        decompressor = lz4.LZ4FrameDecompressor()
        whole.append(decompressor.decompress(data))
        if not decompressor.eof:
            raise EOFError("the last frame is not complete")
        data = decompressor.unused_data or b""
    return b"".join(whole)


def chosen(accepted: str) -> str:
    """The encoding for an answer, of a request's Accept-Encoding; "" for none."""
    wanted = {}
    for part in accepted.lower().split(","):
        name, _, quality = part.partition(";")
        wanted[name.strip()] = quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((name for name in PREFERRED if wanted.get(name)), "")


def encoded(data: bytes, encoding: str) -> bytes:
    """`data` in an encoding of `chosen`."""
    match encoding:
        case "zstd":
            return zstd.compress(data)
        case "lz4":
            compressed: bytes = lz4.compress(data)
            return compressed
        case "gzip":
            return gzip.compress(data, compresslevel=1, mtime=0)
        case "deflate":
            return zlib.compress(data, level=1)
    return data


def form_fields(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of `multipart/form-data`; tables sent along as files are refused."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields = {}
    for part in message.iter_parts():
        if part.get_filename():
            raise ServerError(48, "NOT_IMPLEMENTED", "external tables are not supported")
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        fields[str(name)] = payload.decode()
    return fields


def readable(data: bytes, data_format: str) -> str:
    """Data in which a text can be searched: the buffers of an Arrow stream may be compressed."""
    if data_format == "ArrowStream":
        try:
            table = pa.ipc.open_stream(data).read_all()
        except pa.ArrowInvalid:
            return ""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue().to_pybytes()
    return data.decode(errors="replace")
