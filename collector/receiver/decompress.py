"""Inflating request bodies without letting them grow past a limit."""

from __future__ import annotations

import zlib
from typing import Final, Literal, TypeAlias

from collector.errors import PermanentError, TooLargeError

Coding: TypeAlias = Literal["gzip", "deflate"]

STEP_BYTES: Final = 256 * 1024
"""Output is made in pieces of this size: a bomb is stopped at most one piece past the limit."""
WINDOW_BYTES: Final = 64 * 1024
"""Input is fed in pieces of this size: zlib copies what follows the end of a gzip member."""
MEMBERS_MAX: Final = 1024
"""Concatenated gzip members (RFC 1952) in one body; more is an attempt to waste time."""

GZIP_BITS: Final = 16 + zlib.MAX_WBITS


def inflate(body: bytes, coding: Coding, bytes_max: int) -> bytes:
    """`body` as it was before compression.

    `deflate` is the zlib format (RFC 9110); the raw format that some clients send under that name
    is taken too.  At most `bytes_max` bytes of output plus one step exist at any time, except
    that a body within the limit exists twice while its pieces are joined.  Releases the GIL while
    it works.  Raises TooLargeError past `bytes_max`, PermanentError for damaged input.
    """
    bits = GZIP_BITS if coding == "gzip" else _deflate_bits(body)
    pieces: list[bytes] = []
    size = members = 0
    window = memoryview(body)
    engine = zlib.decompressobj(bits)
    try:
        for start in range(0, len(window), WINDOW_BYTES):
            data: bytes | memoryview = window[start : start + WINDOW_BYTES]
            while data:
                if engine.eof:
                    members += 1
                    if coding != "gzip" or members == MEMBERS_MAX:
                        raise PermanentError(f"{coding} body goes on after its end.", "bad_coding")
                    engine = zlib.decompressobj(bits)
                size += _step(engine, data, pieces)
                if size > bytes_max:
                    raise _too_large(coding, len(body), bytes_max)
                data = engine.unused_data if engine.eof else engine.unconsumed_tail
        # Raw deflate has no trailer, so its last output may outlive its last input.
        while not engine.eof and (made := _step(engine, b"", pieces)):
            size += made
            if size > bytes_max:
                raise _too_large(coding, len(body), bytes_max)
    except zlib.error as error:
        raise PermanentError(f"{coding} body is damaged ({error}).", "bad_coding") from None
    if not engine.eof:
        raise PermanentError(f"{coding} body is cut short.", "bad_coding")
    return b"".join(pieces)


def _step(engine: zlib._Decompress, data: bytes | memoryview, pieces: list[bytes]) -> int:
    piece = engine.decompress(data, STEP_BYTES)
    pieces.append(piece)
    return len(piece)


def _too_large(coding: Coding, sent_bytes: int, bytes_max: int) -> TooLargeError:
    return TooLargeError(
        f"{coding} body of {sent_bytes} bytes inflates to more than {bytes_max} bytes, the limit"
        " (`decompressed_bytes_max`). Send smaller batches."
    )


def _deflate_bits(body: bytes) -> int:
    return zlib.MAX_WBITS if is_zlib(body) else -zlib.MAX_WBITS


def is_zlib(body: bytes) -> bool:
    """Whether `body` begins with a zlib header (RFC 1950: method 8, check bits)."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0


def grpc_coding(message: bytes) -> Coding | None:
    """How a gRPC message is compressed, told from its first bytes.

    gRPC keeps the compressed flag to itself.  The first byte of an export request is 0x0a (its only
    field); 0x1f is no protobuf tag at all, 0x78 the unused field 15.
    """
    if message[:2] == b"\x1f\x8b":
        return "gzip"
    if message[:1] == b"\x78" and is_zlib(message):
        return "deflate"
    return None
