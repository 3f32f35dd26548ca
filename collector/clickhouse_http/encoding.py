"""Bytes on the wire of ClickHouse's HTTP interface: content encodings and forms."""

from __future__ import annotations

import email.parser
import email.policy
import gzip
import io
import zlib
from typing import Final

from backports import zstd
from lz4 import frame as lz4  # type: ignore[import-untyped]  # lz4 publishes no types

from collector.clickhouse_http.errors import ServerError

PREFERRED: Final = ("zstd", "lz4", "gzip", "deflate")
"""In the order in which a server chooses; source: ClickHouse, src/IO/CompressionMethod.cpp."""
DECODED_BYTES_MAX: Final = 512 << 20
"""What a request may become; an INSERT of the test double is the largest there is."""


def decoded(data: bytes, encoding: str, bytes_max: int = DECODED_BYTES_MAX) -> bytes:
    """Undo a request's Content-Encoding.  Raises ServerError, also where it becomes too large."""
    try:
        match encoding.strip().lower():
            case "" | "identity":
                plain = data[: bytes_max + 1]
            case "zstd":
                plain = _up_to(zstd.ZstdFile(io.BytesIO(data)), bytes_max)
            case "lz4":
                plain = _lz4_frames(data, bytes_max)
            case "gzip":
                plain = _up_to(gzip.GzipFile(fileobj=io.BytesIO(data)), bytes_max)
            case "deflate":
                plain = zlib.decompressobj().decompress(data, bytes_max + 1)
            case _:
                message = f"Content-Encoding {encoding!r} is not supported"
                raise ServerError(48, "NOT_IMPLEMENTED", message)
    except (RuntimeError, zlib.error, zstd.ZstdError, EOFError, OSError) as error:
        raise ServerError(354, "ZLIB_INFLATE_FAILED", f"{encoding}: {error}") from error
    if len(plain) > bytes_max:
        message = f"The request is larger than {bytes_max} bytes"
        raise ServerError(307, "TOO_MANY_BYTES", message)
    return plain


def _up_to(file: io.RawIOBase | io.BufferedIOBase, bytes_max: int) -> bytes:
    data: bytes = file.read(bytes_max + 1) or b""
    return data


def _lz4_frames(data: bytes, bytes_max: int) -> bytes:
    """A client that streams sends a frame per block."""
    whole = bytearray()
    while data and len(whole) <= bytes_max:
        decompressor = lz4.LZ4FrameDecompressor()
        whole += decompressor.decompress(data, max_length=bytes_max + 1 - len(whole))
        if not decompressor.eof and len(whole) <= bytes_max:
            raise EOFError("the last frame is not complete")
        data = decompressor.unused_data or b""
    return bytes(whole)


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
        if not isinstance(payload, bytes):
            raise ServerError(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "The form is not readable")
        fields[str(name)] = payload.decode(errors="replace")
    return fields
