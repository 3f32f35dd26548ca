"""Request headers that stand for attributes, so that curl and n8n need no SDK (S2.18-S2.26).

Pure and standard library only: the collector maps the headers (or gRPC metadata) of an export
request, an application those of the request that it serves.  Between two applications the same
attributes travel as W3C baggage as well, under their own names: what has no header, values that a
header cannot hold, and services in between that pass on nothing but W3C headers.
"""

from __future__ import annotations

import re
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

BAGGAGE: Final[tuple[str, ...]] = (
    *HEADERS.values(),
    "agentrun.run.parent_id",
    "gen_ai.agent.name",
    "gen_ai.conversation.id",
    "user.id",
    "agentrun.workspace",
    "agentrun.department",
    "agentrun.virtual_key",
    "agentrun.policy.version",
    "agentrun.route_config.version",
    "agentrun.tool.contract_version",
    "agentrun.retrieval.index_version",
)
"""Attributes that baggage may carry, and tags.  An API key's tenancy wins over what a client says
(the collector sees to it)."""

VALUE_CHARS_MAX: Final = 512
NAME_CHARS_MAX: Final = 64
"""Of a tag's name, without its prefix."""
TAGS_MAX: Final = 32
"""Tags per request."""

TOKEN: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
"""What a header's name may consist of (RFC 9110), but for upper case, which it does not keep."""
KEY: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""What a baggage key may consist of (W3C Baggage)."""


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
            not _is_value(text)
            or attribute in attributes
            or (is_tag and (tags == TAGS_MAX or not _is_tag_name(attribute[len(TAG_PREFIX) :])))
        ):
            ignored += 1
            continue
        tags += is_tag
        attributes[attribute] = text
    return attributes, ignored


def attributes_from_baggage(entries: Iterable[tuple[str, str]]) -> tuple[dict[str, str], int]:
    """Attributes among baggage entries, and how many entries of ours were ignored (as above)."""
    attributes: dict[str, str] = {}
    tags = ignored = 0
    for name, value in entries:
        is_tag = name.startswith(TAG_PREFIX)
        if not is_tag and name not in BAGGAGE:
            continue
        text = value.strip()
        if not _is_value(text) or (
            is_tag and (tags == TAGS_MAX or not _is_tag_name(name[len(TAG_PREFIX) :]))
        ):
            ignored += 1
            continue
        tags += is_tag
        attributes[name] = text
    return attributes, ignored


def headers_from_attributes(attributes: Mapping[str, object]) -> dict[str, str]:
    """The headers that say `attributes`, as far as a header can.

    Left to baggage are values that are not ASCII, which some HTTP clients refuse to send, and tags
    whose name has upper case or is no name of a header.
    """
    headers: dict[str, str] = {}
    for header, attribute in HEADERS.items():
        value = attributes.get(attribute)
        if isinstance(value, str) and value.isascii() and _is_value(value.strip()):
            headers[header] = value.strip()
    tags = [(name, value) for name, value in attributes.items() if name.startswith(TAG_PREFIX)]
    for name, value in tags[:TAGS_MAX]:
        tag = name[len(TAG_PREFIX) :]
        if TOKEN.fullmatch(tag) and isinstance(value, str) and value.isascii() and _is_value(value):
            headers[PROPERTY_PREFIX + tag] = value
    return headers


def baggage_from_attributes(attributes: Mapping[str, object]) -> dict[str, str]:
    """The baggage entries that say `attributes`, the most important ones first."""
    names = [*BAGGAGE, *[name for name in attributes if name.startswith(TAG_PREFIX)][:TAGS_MAX]]
    return {
        name: value
        for name in names
        if isinstance(value := attributes.get(name), str)
        and _is_value(value)
        and KEY.fullmatch(name)
    }


def _is_value(text: str) -> bool:
    return 0 < len(text) <= VALUE_CHARS_MAX and text.isprintable()


def _is_tag_name(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARS_MAX and name.isprintable() and " " not in name
