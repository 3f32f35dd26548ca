"""64-bit content digests of rows, a column at a time.

A digest is a sum of mixed 64-bit numbers: integers as they are, texts by XXH3 of their bytes.  It
depends on a row's content only, never on its neighbors or its place in the batch, so the same span
has the same digest in any request.  Not for security: Version and RecordId only need to differ.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

Numbers = NDArray[np.uint64]

ODD: Final = np.uint64(0x9E3779B97F4A7C15)
SHIFTS: Final = (np.uint64(30), np.uint64(27), np.uint64(31))
FACTORS: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def mix(numbers: Numbers) -> Numbers:
    """A bijection that spreads every input bit (the finalizer of SplitMix64)."""
    numbers = (numbers ^ (numbers >> SHIFTS[0])) * FACTORS[0]
    numbers ^= numbers >> SHIFTS[1]
    numbers *= FACTORS[1]
    numbers ^= numbers >> SHIFTS[2]
    return numbers


def combine(*columns: Numbers) -> Numbers:
    """One number per row from several columns; their order matters."""
    salts = np.arange(1, len(columns) + 1, dtype=np.uint64) * ODD
    return mix(mix(np.stack(columns) + salts[:, None]).sum(axis=0, dtype=np.uint64))


def bounds(texts: pa.Array) -> tuple[NDArray[np.int32], memoryview]:
    """Offsets (one more than there are values) and the bytes they point into."""
    _, offsets, data = texts.buffers()
    if offsets is None:  # An array of no rows may have no buffers.
        return np.zeros(1, np.int32), memoryview(b"")
    numbers = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return numbers, memoryview(b"" if data is None else data)


def of_texts(texts: pa.Array) -> Numbers:
    """One number per value of a string or binary array without nulls."""
    offsets, data = bounds(texts)
    return np.array(
        [xxh3_64_intdigest(data[a:b]) for a, b in pairwise(offsets.tolist())], np.uint64
    )


def of_groups(texts: pa.Array, offsets: NDArray[np.int64]) -> Numbers:
    """One number per group of consecutive values, over their bytes put together."""
    starts, data = bounds(texts)
    edges = starts[offsets].tolist()
    return np.array(
        [xxh3_64_intdigest(data[a:b]) if a < b else 0 for a, b in pairwise(edges)], np.uint64
    )


def sums(numbers: Numbers, offsets: NDArray[np.int64]) -> Numbers:
    """Per group the sum, modulo 2**64, of consecutive numbers: their order does not matter."""
    total = np.zeros(len(numbers) + 1, np.uint64)
    np.cumsum(numbers, out=total[1:])
    return total[offsets[1:]] - total[offsets[:-1]]


def of_ids(ids: pa.Array, width: int) -> Numbers:
    """One number per id of `width` bytes (a multiple of 8); an empty or other one is 0."""
    offsets, data = bounds(ids)
    whole = np.diff(offsets) == width
    numbers = np.zeros(len(ids), np.uint64)
    if not whole.any():
        return numbers
    if whole.all():
        raw = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    else:
        raw = np.frombuffer(data, np.uint8)[offsets[:-1][whole][:, None] + np.arange(width)]
    words = np.ascontiguousarray(raw).view("<u8").reshape(-1, width // 8)
    numbers[whole] = combine(*words.T) if width > 8 else words[:, 0]
    return numbers
