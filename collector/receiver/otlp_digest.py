"""64-bit content digests of rows, a column at a time.

A digest is a sum of mixed 64-bit numbers: integers as they are, texts by XXH3 of their bytes.  It
depends on a row's content only, never on its neighbors or its place in the batch, so the same span
has the same digest in any request.  Not for security: Version and RecordId only need to differ.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from xxhash import xxh3_64_digest

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
    if not len(columns[0]):
        return np.zeros(0, np.uint64)
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
    return xxh3(texts.view(pa.binary()))


def of_groups(texts: pa.Array, offsets: NDArray[np.int64]) -> Numbers:
    """One number per group of consecutive values, over their bytes put together; 0 for no bytes."""
    starts, _ = bounds(texts)
    edges = starts[offsets]
    buffers = [None, pa.py_buffer(edges), texts.buffers()[2]]
    numbers = xxh3(pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, buffers))
    numbers[edges[:-1] == edges[1:]] = 0
    return numbers


def xxh3(values: pa.BinaryArray) -> Numbers:
    # Bytes objects of Arrow's and joined digests: the two cheapest ways between columns and calls.
    digests = b"".join(map(xxh3_64_digest, values.to_pylist()))
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def sums(numbers: Numbers, offsets: NDArray[np.int64]) -> Numbers:
    """Per group the sum, modulo 2**64, of consecutive numbers: their order does not matter."""
    if not len(numbers):
        return np.zeros(len(offsets) - 1, np.uint64)
    total = np.zeros(len(numbers) + 1, np.uint64)
    np.cumsum(numbers, out=total[1:])
    return total[offsets[1:]] - total[offsets[:-1]]


def id_words(ids: pa.Array, width: int) -> tuple[Numbers, NDArray[np.bool_]]:
    """Ids of `width` bytes (a multiple of 8) as rows of 64-bit numbers, and which are that long;
    the numbers of the others are 0."""
    offsets, data = bounds(ids)
    whole = (offsets[1:] - offsets[:-1]) == width
    count = width // 8
    if whole.all():
        raw = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
        return raw.view("<u8").reshape(-1, count), whole
    words = np.zeros((len(whole), count), np.uint64)
    if whole.any():
        raw = np.frombuffer(data, np.uint8)[offsets[:-1][whole][:, None] + np.arange(width)]
        words[whole] = raw.view("<u8")
    return words, whole


def of_ids(ids: pa.Array, width: int) -> Numbers:
    """One number per id of `width` bytes (a multiple of 8); an empty or other one is 0."""
    return of_words(*id_words(ids, width))


def of_words(words: Numbers, whole: NDArray[np.bool_]) -> Numbers:
    """The same for what `id_words` says of ids."""
    if words.shape[1] == 1:
        return words[:, 0]
    numbers = combine(*words.T)
    numbers[~whole] = 0
    return numbers
