"""From the decoder's nested batch to flat columns, and what happens to every text on the way.

`unnest` finds the items of a request and whose resource and scope they have.  `Content` holds every
text of the request once: attributes of all kinds as one ragged table, other texts (names, messages,
bodies, ...) and attribute keys as one dictionary.  Texts are redacted first and cut to the length
limit afterwards (half a secret matches no pattern), before anything is repeated per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, NamedTuple, Protocol

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from collector.arrow import pa
from collector.model import TYPES
from collector.receiver import otlp_digest
from collector.receiver.otlp_digest import Numbers
from collector.receiver.otlp_values import INT, Texts
from otel_agentrun import semconv

Index = NDArray[np.int64]

TRUNCATED: Final = semconv.TRUNCATED_PREFIX
"""Prefix of the attribute that keeps the original length, in bytes, of a text that was cut."""


NO_TEXT: Final = pa.array([], pa.string())


class Redactor(Protocol):
    """Replaces secrets in texts."""

    def values(
        self,
        values: pa.StringArray,
        keys: pa.StringArray | pa.DictionaryArray | None,
        *,
        content: bool = False,
    ) -> tuple[pa.StringArray, int]:
        """As many values as given, and how many changed.

        `keys` are the attribute keys of `values` (text, or dictionary-encoded), or `None` for
        names, messages, bodies and keys.
        `content` is true for log bodies and the attributes of events and log records.
        """
        ...


class Ragged(NamedTuple):
    """Lists as one array of values."""

    offsets: Index
    """From 0, one more than there are lists."""
    values: pa.StructArray


def ragged(lists: pa.ListArray) -> Ragged:
    offsets = lists.offsets.to_numpy().astype(np.int64)
    first = int(offsets[0])
    return Ragged(offsets - first, lists.values.slice(first, int(offsets[-1]) - first))


class PartsError(Exception):
    """A value was sent in several parts."""


def any_values(parts: pa.ListArray) -> pa.BinaryArray:
    """The serialized AnyValue of each row, no bytes where it is absent.

    Raises PartsError where one has several parts: merging is left to the official classes.
    """
    edges = parts.offsets.to_numpy()
    if len(parts) and (edges[1:] - edges[:-1]).max() > 1:
        raise PartsError
    starts, _ = otlp_digest.bounds(parts.values)
    buffers = [None, pa.py_buffer(starts[edges]), parts.values.buffers()[2]]
    return pa.BinaryArray.from_buffers(pa.binary(), len(parts), buffers)


@dataclass(frozen=True, slots=True)
class Items:
    """Spans or log records of a request in wire order, and indices into `scopes`, `resources`."""

    items: pa.StructArray
    scope_of: Index
    resource_of: Index
    scopes: pa.StructArray
    resources: pa.StructArray
    _parts: dict[str, Ragged] = field(default_factory=dict)

    def part(self, name: str) -> Ragged:
        """A repeated field of the items."""
        found = self._parts.get(name)
        if found is None:
            found = self._parts[name] = ragged(self.items.field(name))
        return found

    def keep(self, mask: NDArray[np.bool_]) -> Items:
        items = self.items.filter(pa.array(mask))
        return Items(
            items, self.scope_of[mask], self.resource_of[mask], self.scopes, self.resources
        )


def unnest(nested: pa.RecordBatch) -> Items:
    """`nested` is one row of `Traces` or `Logs` of `otlp_schema`."""
    _, resources = ragged(nested.column("groups"))
    scope_offsets, scopes = ragged(resources.field("scoped"))
    item_offsets, items = ragged(scopes.field("items"))
    scope_of = np.repeat(np.arange(len(scopes)), np.diff(item_offsets))
    resource_of = np.repeat(np.arange(len(resources)), np.diff(scope_offsets))[scope_of]
    return Items(items, scope_of, resource_of, scopes, resources)


HEX: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)


def no_nulls(texts: pa.StringArray) -> pa.StringArray:
    """ "" for the fields of absent messages."""
    return texts.fill_null("") if texts.null_count else texts


def hex_ids(*columns: pa.BinaryArray) -> list[pa.StringArray]:
    """Lower-case hex of each id, of whatever length."""
    ids = pa.concat_arrays(columns)
    offsets, data = otlp_digest.bounds(ids)
    first, last = int(offsets[0]), int(offsets[-1])
    text = HEX[np.frombuffer(data, np.uint8)[first:last]] if last else np.zeros(0, np.uint16)
    edges = (offsets - first) * np.int32(2)
    texts = pa.StringArray.from_buffers(len(ids), pa.py_buffer(edges), pa.py_buffer(text))
    starts = accumulate(map(len, columns), initial=0)
    return [texts.slice(at, len(column)) for at, column in zip(starts, columns, strict=False)]


def lengths(texts: pa.Array) -> NDArray[np.int32]:
    """Bytes of each string or binary value."""
    return np.diff(otlp_digest.bounds(texts)[0])


def cut_text(text: str, bytes_max: int) -> str:
    """At most `bytes_max` bytes of UTF-8, whole characters."""
    return text.encode()[:bytes_max].decode(errors="ignore")


def cut(texts: pa.StringArray, bytes_max: int) -> tuple[pa.StringArray, dict[int, int]]:
    """Texts of at most `bytes_max` bytes, and index -> original bytes of those that were longer."""
    if texts.nbytes <= bytes_max:
        return texts, {}
    sizes = lengths(texts)
    if int(sizes.max(initial=0)) <= bytes_max:
        return texts, {}
    long = sizes > bytes_max
    shortened = [cut_text(text, bytes_max) for text in texts.filter(pa.array(long)).to_pylist()]
    where = np.flatnonzero(long)
    replaced = pc.replace_with_mask(texts, pa.array(long), pa.array(shortened, pa.string()))
    return replaced, {int(index): int(sizes[index]) for index in where}


def last_of_each(owners: Index, codes: Index) -> NDArray[np.bool_] | None:
    """Which entries stay when of several with one owner and code the last wins.

    `None` when all differ, which is cheap to see.
    """
    if not len(codes):
        return None
    width = int(codes.max()) + 1
    pairs = owners * width + codes
    size = (int(owners[-1]) + 1) * width
    if size <= 32 * len(pairs):
        seen = np.zeros(size, np.bool_)
        seen[pairs] = True
        if np.count_nonzero(seen) == len(pairs):
            return None
    _, from_the_end = np.unique(pairs[::-1], return_index=True)
    if len(from_the_end) == len(pairs):
        return None
    mask = np.zeros(len(pairs), np.bool_)
    mask[len(pairs) - 1 - from_the_end] = True
    return mask


class Content:
    """Every text of a request: redacted, cut, and counted."""

    def __init__(
        self,
        *,
        lists: Mapping[str, Ragged],
        values: Texts,
        content_site: str,
        texts: Mapping[str, pa.StringArray],
        truncated: Mapping[str, tuple[str, str]],
        redactor: Redactor | None,
        bytes_max: int,
    ) -> None:
        """`lists` name the sites of attributes; `values` are those of all their entries, in that
        order, and bodies.  `texts` name columns of other texts; bodies are the column `body`.
        Entries from `content_site` on and bodies are content to the redactor.  `truncated` says,
        for a column, in which site (row for row) and under what name the length of a text that was
        cut is kept.
        """
        self.redacted = self.cut = 0
        self._site_starts: dict[str, tuple[int, int]] = {}
        pieces = [np.zeros(1, np.int64)]
        groups = total = 0
        for site, (offsets, _) in lists.items():
            pieces.append(offsets[1:] + total)
            self._site_starts[site] = (groups, len(offsets) - 1)
            groups += len(offsets) - 1
            total += int(offsets[-1])
        self.offsets: Index = np.concatenate(pieces)
        self._text: pa.StringArray = values.text.slice(0, total)
        self._types = values.types[:total]

        # Dictionaries for keys and all other texts: each distinct text is looked at once.
        keys = [entries.values.field("key") for entries in lists.values()]
        columns = [*texts.values(), values.text.slice(total)]
        joined = pa.concat_arrays([*keys, *columns])
        ends = [*accumulate(map(len, columns), initial=total)]
        self._columns = dict(zip([*texts, "body"], map(slice, ends, ends[1:]), strict=True))
        words, self._column_codes = _dictionaries(joined, ends[-2])
        self._codes = self._column_codes[:total]
        # Words are in the order in which they first occur, so keys come first.
        self._key_words = int(self._codes.max(initial=-1)) + 1
        self._drop_repeated_keys(joined.slice(0, total))

        changed_words = 0
        if redactor is not None:
            split = int(self.offsets[self._site_starts[content_site][0]])
            self._redact_values(redactor, words[0].slice(0, self._key_words), split)
            for index, content in enumerate((False, True)):
                if len(words[index]):
                    words[index], changed = redactor.values(words[index], None, content=content)
                    changed_words += changed
            self.redacted += changed_words
        self._words, long_words = cut(pa.concat_arrays(words), bytes_max)
        self._text, long_values = cut(self._text, bytes_max)
        if changed_words or long_words:
            joined = self._words.take(pa.array(self._column_codes))
            self._keys = self._words.take(pa.array(self._codes))
        self._joined = joined
        if long_words or long_values:
            self._note_cuts(long_words, long_values, truncated, bytes_max)
        self._word_digests = otlp_digest.of_texts(self._words)
        self._digests: Numbers | None = None

    def _drop_repeated_keys(self, keys: pa.StringArray) -> None:
        """OTLP forbids a key twice in one list; where it happens the last one wins."""
        self._keys = keys
        owners = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        mask = last_of_each(owners, self._codes)
        if mask is None:
            return
        kept = np.zeros(len(mask) + 1, np.int64)
        np.cumsum(mask, out=kept[1:])
        self.offsets = kept[self.offsets]
        self._codes, self._types = self._codes[mask], self._types[mask]
        self._text, self._keys = self._text.filter(pa.array(mask)), keys.filter(pa.array(mask))

    def _redact_values(self, redactor: Redactor, names: pa.StringArray, split: int) -> None:
        """`names` are the distinct keys, `split` the place of the first value that is content."""
        parts = []
        before = self.redacted
        keys = pa.DictionaryArray.from_arrays(pa.array(self._codes), names, safe=False)
        for rows, content in ((slice(0, split), False), (slice(split, None), True)):
            text = self._text[rows]
            if len(text):
                text, changed = redactor.values(text, keys[rows], content=content)
                self.redacted += changed
            parts.append(text)
        if self.redacted > before:
            self._text = pa.concat_arrays(parts)

    def _note_cuts(
        self,
        long_words: Mapping[int, int],
        long_values: Mapping[int, int],
        truncated: Mapping[str, tuple[str, str]],
        bytes_max: int,
    ) -> None:
        """Count what was cut and keep the original lengths as attributes."""
        # (place in the table, list it belongs to, key, original bytes) of the attributes to add.
        added: list[tuple[int, int, str, int]] = []
        for row, size in long_values.items():
            owner = int(np.searchsorted(self.offsets, row, side="right")) - 1
            added.append((row + 1, owner, TRUNCATED + self._keys[row].as_py(), size))
        self.cut += len(long_values)
        long_codes = np.fromiter(long_words, np.int64)
        for name, place_of in self._columns.items():
            codes = self._column_codes[place_of]
            rows = np.flatnonzero(np.isin(codes, long_codes)).tolist()
            self.cut += len(rows)
            if name in truncated:
                site, key = truncated[name]
                start, _ = self._site_starts[site]
                for row in rows:
                    place, size = int(self.offsets[start + row + 1]), long_words[int(codes[row])]
                    added.append((place, start + row, TRUNCATED + key, size))
        if added:
            self._add(sorted(added), bytes_max)

    def _add(self, added: Sequence[tuple[int, int, str, int]], bytes_max: int) -> None:
        """Insert integer attributes before the given places of the table."""
        places, owners, keys, sizes = zip(*added, strict=True)
        new_keys = pa.array([cut_text(key, bytes_max) for key in keys], pa.string())
        new_text = pa.array([str(size) for size in sizes], pa.string())
        new = np.arange(len(added))
        order = np.insert(np.arange(len(self._codes)), places, len(self._codes) + new)
        self._keys = pa.concat_arrays([self._keys, new_keys]).take(pa.array(order))
        self._text = pa.concat_arrays([self._text, new_text]).take(pa.array(order))
        self._types = np.insert(self._types, places, INT).astype(np.uint8)
        self._codes = np.insert(self._codes, places, len(self._words) + new)
        self._words = pa.concat_arrays([self._words, new_keys])
        per_list = np.bincount(owners, minlength=len(self.offsets) - 1)
        self.offsets = self.offsets + np.concatenate([[0], np.cumsum(per_list)])

    def text(self, name: str) -> pa.StringArray:
        return self._joined[self._columns[name]]

    def text_digests(self, name: str) -> Numbers:
        return self._word_digests[self._column_codes[self._columns[name]]]

    def _site(self, site: str) -> tuple[Index, int, int]:
        """Offsets of a site's lists from 0, and where its entries start and end in the table."""
        start, count = self._site_starts[site]
        offsets = self.offsets[start : start + count + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return offsets - first, first, last

    def maps(self, site: str) -> pa.MapArray:
        offsets, first, last = self._site(site)
        keys, items = self._keys.slice(first, last - first), self._text.slice(first, last - first)
        return pa.MapArray.from_arrays(pa.array(offsets.astype(np.int32)), keys, items)

    def types(self, site: str) -> pa.ListArray:
        offsets, first, last = self._site(site)
        values = pa.array(self._types[first:last])
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, type=TYPES)

    def counts(self, site: str) -> Index:
        return np.diff(self._site(site)[0])

    def values_of(self, site: str, key: str) -> pa.StringArray:
        """Per list of a site the value of `key`, "" where it is missing."""
        offsets, first, last = self._site(site)
        names = self._words.slice(0, self._key_words).to_pylist()
        lists = len(offsets) - 1
        if key not in names:
            return pa.repeat("", lists)
        where = np.flatnonzero(self._codes[first:last] == names.index(key))
        if len(where) == lists:
            return self._text.take(pa.array(first + where))
        places = np.zeros(lists, np.int64)
        missing = np.ones(lists, np.bool_)
        owners = np.searchsorted(offsets, where, side="right") - 1
        places[owners], missing[owners] = first + where, False
        return self._text.take(pa.array(places, mask=missing)).fill_null("")

    def digests(self, site: str) -> Numbers:
        """One number per attribute list of a site: keys, types and values."""
        if self._digests is None:
            sizes = lengths(self._text).astype(np.uint64) * np.uint64(256) + self._types
            entries = otlp_digest.mix(self._word_digests[self._codes] + otlp_digest.mix(sizes))
            keyed = otlp_digest.sums(entries, self.offsets)
            self._digests = otlp_digest.combine(
                keyed, otlp_digest.of_groups(self._text, self.offsets)
            )
        start, count = self._site_starts[site]
        return self._digests[start : start + count]


def _dictionaries(texts: pa.StringArray, split: int) -> tuple[list[pa.StringArray], Index]:
    """Distinct texts before and after a place, and for each text its place among both."""
    names = texts.slice(0, split).dictionary_encode()
    codes = names.indices.to_numpy().astype(np.int64)
    if split == len(texts):
        return [names.dictionary, NO_TEXT], codes
    rest = texts.slice(split).dictionary_encode()
    more = rest.indices.to_numpy().astype(np.int64) + len(names.dictionary)
    return [names.dictionary, rest.dictionary], np.concatenate([codes, more])


OFFSET_MAX: Final = 2**31 - 1


def repeat(values: pa.Array, rows: Index) -> pa.Array:
    """Per row the text or map at its place in `values`.  Nearly always there is only one."""
    if len(values) != 1 or not len(rows):
        return values.take(pa.array(rows))
    return tile(values, len(rows))


def tile(values: pa.Array, times: int) -> pa.Array:
    """The same again and again: texts, or one map, without nulls."""
    if isinstance(values, pa.MapArray):
        first, last = values.offsets.to_pylist()
        size = last - first
        keys, items = (part.slice(first, size) for part in (values.keys, values.items))
        offsets = pa.array(np.arange(times + 1, dtype=np.int32) * np.int32(size))
        return pa.MapArray.from_arrays(offsets, tile(keys, times), tile(items, times))
    offsets, data = otlp_digest.bounds(values)
    first, last = int(offsets[0]), int(offsets[-1])
    size = last - first
    if size * times > OFFSET_MAX:
        return values.take(pa.array(np.tile(np.arange(len(values)), times)))  # It says so.
    edges = np.empty(len(values) * times + 1, np.int32)
    starts = np.arange(times, dtype=np.int32) * np.int32(size)
    edges[:-1] = (starts[:, None] + (offsets[:-1] - offsets[0])).ravel()
    edges[-1] = size * times
    text = pa.py_buffer(bytes(data[first:last]) * times)
    return pa.StringArray.from_buffers(len(edges) - 1, pa.py_buffer(edges), text)


def constant_maps(pairs: Mapping[str, str], rows: int) -> pa.MapArray:
    """The same map on every row."""
    if not pairs:
        return pa.MapArray.from_arrays(pa.array(np.zeros(rows + 1, np.int32)), NO_TEXT, NO_TEXT)
    keys, items = pa.array(pairs.keys(), pa.string()), pa.array(pairs.values(), pa.string())
    one = pa.MapArray.from_arrays(pa.array([0, len(pairs)], pa.int32()), keys, items)
    return tile(one, rows)
