"""Everything a collector wrote, as somebody who has the disk sees it: raw and uncompressed."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

LZ4_FRAME: Final = b"\x04\x22\x4d\x18"
"""How a buffer of an Arrow IPC stream begins when it is compressed (LZ4 frame format)."""
BLOCK_HEADER: Final = struct.Struct("<BII")
"""Of ClickHouse, after a checksum of 16 bytes: method, bytes with this header, bytes inflated."""
LZ4_BLOCK: Final = 0x82
ZSTD_BLOCK: Final = 0x90
CHAINED_BLOCK: Final = 0x91
"""Several codecs in a row, such as Delta before LZ4: numbers, never text."""
PLAIN_BLOCK: Final = 0x02
METHODS: Final = frozenset({LZ4_BLOCK, ZSTD_BLOCK, CHAINED_BLOCK, PLAIN_BLOCK})
CHECKSUM_BYTES: Final = 16


def found_in_files(folders: Iterable[Path], texts: Iterable[str]) -> dict[str, set[str]]:
    """Text -> names of the files that hold it, for every text that any file holds."""
    wanted = {text: text.encode() for text in texts}
    found: dict[str, set[str]] = {}
    # All at once first: one text in a hundred is worth a second look.
    any_of = re.compile(b"|".join(re.escape(raw) for raw in wanted.values()))
    for path, content in everything(folders):
        if not any_of.search(content):
            continue
        for text, raw in wanted.items():
            if raw in content:
                found.setdefault(text, set()).add(path.name)
    return found


def everything(folders: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """(path, content) of every file, and once more what its compressed parts hold."""
    for folder in folders:
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
            try:
                content = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:  # a part that was merged away meanwhile
                continue
            yield path, content
            for inflate in (clickhouse_blocks, lz4_frames):
                if inner := inflate(content):
                    yield path, inner


def clickhouse_blocks(content: bytes) -> bytes:
    """The columns of a data file, one block after the other; b"" for any other file."""
    parts = []
    at = 0
    while at + CHECKSUM_BYTES + BLOCK_HEADER.size <= len(content):
        method, size, inflated = BLOCK_HEADER.unpack_from(content, at + CHECKSUM_BYTES)
        start, end = at + CHECKSUM_BYTES + BLOCK_HEADER.size, at + CHECKSUM_BYTES + size
        if method not in METHODS or end > len(content) or start > end:
            return b""
        block = content[start:end]
        if method in (LZ4_BLOCK, ZSTD_BLOCK):
            codec = "lz4_raw" if method == LZ4_BLOCK else "zstd"
            block = pa.decompress(block, inflated, codec, asbytes=True)
        parts.append(block)
        at = end
    return b"\n".join(parts)


def lz4_frames(content: bytes) -> bytes:
    """What the compressed buffers of journal records hold."""
    parts = []
    for frame in content.split(LZ4_FRAME)[1:]:
        try:
            with pa.CompressedInputStream(pa.BufferReader(LZ4_FRAME + frame), "lz4") as stream:
                parts.append(stream.read())
        except OSError:  # bytes that only look like a frame, or one that is cut off
            pass
    return b"\n".join(parts)
