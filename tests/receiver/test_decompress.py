"""Inflating within a limit, whatever the bytes."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import PermanentError, TooLargeError
from collector.receiver.decompress import STEP_BYTES, Coding, grpc_coding, inflate

MEBIBYTE = 1024 * 1024


def raw_deflate(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-zlib.MAX_WBITS)


@given(st.binary(max_size=2000), st.integers(1, 400))
def test_what_was_compressed_comes_back(seed: bytes, times: int) -> None:
    """Across pieces: up to 800 kB of output, and input of more than one window."""
    body = seed * times

    assert inflate(gzip.compress(body, 1), "gzip", len(body)) == body
    assert inflate(zlib.compress(body, 0), "deflate", len(body)) == body
    assert inflate(raw_deflate(body), "deflate", len(body)) == body


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["gzip", "deflate"]), st.data())
def test_damage_is_a_permanent_error_or_the_same_bytes(
    body: bytes, coding: Coding, data: st.DataObject
) -> None:
    """Nothing else is raised, nothing is returned that was not sent."""
    whole = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    for sent in (bytes(damaged), whole[:place], whole + whole[:3]):
        try:
            plain = inflate(sent, coding, MEBIBYTE)
        except PermanentError:
            continue
        # A damaged zlib header may read as raw deflate, which has no check of its own.
        assert plain == body or coding == "deflate"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_the_limit_is_exact(coding: Coding) -> None:
    body = b"x" * (STEP_BYTES * 2)
    sent = gzip.compress(body) if coding == "gzip" else raw_deflate(body)

    assert inflate(sent, coding, len(body)) == body
    with pytest.raises(TooLargeError, match="decompressed_bytes_max"):
        inflate(sent, coding, len(body) - 1)


def test_a_flood_of_empty_gzip_members_is_stopped_early() -> None:
    """20 bytes each, nothing out: without a limit 16 MiB of them keep a thread busy for seconds."""
    flood = gzip.compress(b"", mtime=0) * (16 * MEBIBYTE // 20)
    started = time.perf_counter()

    with pytest.raises(PermanentError, match="goes on after its end"):
        inflate(flood, "gzip", MEBIBYTE)

    assert time.perf_counter() - started < 1.0


@pytest.mark.parametrize(
    ("message", "coding"),
    [
        (b"", None),
        (b"\x0a\x00", None),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (zlib.compress(b"x"), "deflate"),
        (zlib.compress(b"x", 9), "deflate"),
        (b"\x78", None),
        (b"\x78\x00", None),
    ],
)
def test_compression_of_a_grpc_message_is_told_from_its_bytes(
    message: bytes, coding: Coding | None
) -> None:
    assert grpc_coding(message) == coding
