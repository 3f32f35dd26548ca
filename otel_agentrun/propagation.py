"""Request headers that stand for attributes, so that curl and n8n need no SDK (S2.18-S2.26).

Pure and standard library only: the collector maps the headers (or gRPC metadata) of an export
request, an application those of the request that it serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

HEADERS: Final[Mapping[str, str]] = {
    "x-request-id": "agentrun.request.id",
    "alephant-agent-id": "agentrun.agent.id",
    "alephant-run-id": "agentrun.run.id",
    "alephant-session-id": "session.id",
    "alephant-session-path": "agentrun.session.path",
    "alephant-session-name": "agentrun.session.name",
    "alephant-prompt-id": "gen_ai.prompt.name",
}
"""Header name in lower case -> attribute name."""

PROPERTY_PREFIX: Final = "alephant-property-"
TAG_PREFIX: Final = "agentrun.tag."
"""`alephant-property-<name>` is the tag `agentrun.tag.<name>`, in lower case: header names have no
case."""

VALUE_CHARS_MAX: Final = 512
NAME_CHARS_MAX: Final = 64
"""Of a tag's name, without its prefix."""
TAGS_MAX: Final = 32
"""Tags per request."""


NO_HEADERS: Final[Mapping[str, str]] = {}


def attribute_for(header: str, more: Mapping[str, str] = NO_HEADERS) -> str | None:
    """The attribute that a header stands for; `None` when it is not one of ours.

    `more`: lower-case names and attributes from the config, before the built-in ones.
    """
    name = header.lower()
    attribute = more.get(name) or HEADERS.get(name)
    if attribute is None and name.startswith(PROPERTY_PREFIX):
        return TAG_PREFIX + name[len(PROPERTY_PREFIX) :]
    return attribute


def attributes_from_headers(
    headers: Iterable[tuple[str, str]], more: Mapping[str, str] = NO_HEADERS
) -> tuple[dict[str, str], int]:
    """Map (name, value) pairs; returns the attributes and how many headers of ours were ignored.

    Ignored are: a value that is empty, over-long or holds a control character (cutting one would
    make another id of it), a second header of the same name, a tag past `TAGS_MAX`, a bad tag name.
    """
    attributes: dict[str, str] = {}
    tags = ignored = 0
    for name, value in headers:
        attribute = attribute_for(name, more)
        if attribute is None:
            continue
        is_tag = attribute.startswith(TAG_PREFIX)
        text = value.strip()
        if (
            not 0 < len(text) <= VALUE_CHARS_MAX
            or not text.isprintable()
            or attribute in attributes
            or (is_tag and (tags == TAGS_MAX or not _is_tag_name(attribute[len(TAG_PREFIX) :])))
        ):
            ignored += 1
            continue
        tags += is_tag
        attributes[attribute] = text
    return attributes, ignored


def _is_tag_name(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARS_MAX and name.isprintable() and " " not in name
