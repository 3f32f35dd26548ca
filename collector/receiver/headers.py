"""Header lists as HTTP and gRPC give them, and the attributes they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from otel_agentrun.propagation import (
    HEADERS,
    NO_HEADERS,
    PROPERTY_PREFIX,
    attributes_from_headers,
)

__all__ = ["HEADERS", "PROPERTY_PREFIX", "first", "ingest_attributes", "text_headers"]

BINARY_SUFFIX: Final = "-bin"
"""gRPC metadata whose value is bytes; none of ours is."""


def text_headers(pairs: Iterable[Sequence[str | bytes]]) -> list[tuple[str, str]]:
    """(lower-case name, value) pairs.  Bytes are UTF-8, or Latin-1 (which HTTP once was) if not."""
    found = []
    for name, value in pairs:
        key = (name.decode("latin-1") if isinstance(name, bytes) else name).lower()
        if not key.endswith(BINARY_SUFFIX):
            found.append((key, _text(value)))
    return found


def _text(value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def first(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """The first value of the header `name` (lower case), or `None`."""
    return next((value for key, value in headers if key == name), None)


def ingest_attributes(
    headers: Iterable[tuple[str, str]],
    stamps: Mapping[str, str],
    more: Mapping[str, str] = NO_HEADERS,
) -> tuple[dict[str, str], int]:
    """What the request says about its spans, the API key's `stamps` winning over the headers.

    `more`: header name -> attribute, from the config.  Returns the attributes and the number of
    headers that were ignored (see `propagation`).
    """
    attributes, ignored = attributes_from_headers(headers, more)
    attributes.update(stamps)
    return attributes, ignored
