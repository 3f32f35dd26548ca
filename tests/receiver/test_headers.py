"""Request headers that stand for attributes (S2.18-S2.26)."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.receiver.headers import ingest_attributes, text_headers
from otel_agentrun.propagation import (
    HEADERS,
    NAME_CHARS_MAX,
    PROPERTY_PREFIX,
    TAG_PREFIX,
    TAGS_MAX,
    VALUE_CHARS_MAX,
    attributes_from_headers,
)
from tests.receiver.edge import Edge
from tests.receiver.requests import JSON, a_trace_request, call

SENT = {
    "x-request-id": "req-1",
    "Alephant-Agent-Id": "agent-7",
    "Alephant-Run-Id": "run-9",
    "alephant-session-id": "s-1",
    "alephant-session-path": "/refund/check",
    "alephant-session-name": "Refund of order 12",
    "alephant-prompt-id": "refund-v2",
    "alephant-property-Tier": "gold",
    "alephant-property-team.name": "a b",
}
MEANT = {
    "agentrun.request.id": "req-1",
    "agentrun.agent.id": "agent-7",
    "agentrun.run.id": "run-9",
    "session.id": "s-1",
    "agentrun.session.path": "/refund/check",
    "agentrun.session.name": "Refund of order 12",
    "gen_ai.prompt.name": "refund-v2",
    "agentrun.tag.tier": "gold",
    "agentrun.tag.team.name": "a b",
}


def test_http_headers_reach_the_intake_as_attributes(edge: Edge) -> None:
    """S2.18-S2.25: curl and n8n need no SDK.  Header names have no case."""
    httpx.post(
        edge.http_url + "/v1/traces", content=b"{}", headers={"content-type": JSON, **SENT}
    ).raise_for_status()

    assert edge.intake.calls[0].ingest == MEANT
    assert edge.stats.headers_ignored == 0


def test_grpc_metadata_reaches_the_intake_as_attributes(edge: Edge) -> None:
    """gRPC allows lower-case names only."""
    call(edge, a_trace_request(), metadata=[(name.lower(), value) for name, value in SENT.items()])

    assert edge.intake.calls[0].ingest == MEANT


def test_nothing_is_required(edge: Edge) -> None:
    """S2.26: without session headers request-level metadata is still recorded."""
    httpx.post(
        edge.http_url + "/v1/traces",
        content=b"{}",
        headers={"content-type": JSON, "x-request-id": "only"},
    ).raise_for_status()

    assert edge.intake.calls[0].ingest == {"agentrun.request.id": "only"}


def test_malformed_headers_are_ignored_and_counted_and_the_request_is_taken(edge: Edge) -> None:
    httpx.post(
        edge.http_url + "/v1/traces",
        content=b"{}",
        headers={"content-type": JSON, "alephant-run-id": "x" * 600, "alephant-session-id": "s"},
    ).raise_for_status()

    assert edge.intake.calls[0].ingest == {"session.id": "s"}
    assert edge.stats.headers_ignored == 1


def test_values_may_be_utf_8_or_latin_1() -> None:
    """HTTP gives bytes: today's clients send UTF-8, old ones Latin-1."""
    pairs = [
        (b"Alephant-Session-Name", "Zürich".encode()),
        (b"alephant-session-path", "Zürich".encode("latin-1")),
        (b"alephant-session-bin", b"\xff"),
    ]

    found, ignored = ingest_attributes(text_headers(pairs), {})

    assert found == {"agentrun.session.name": "Zürich", "agentrun.session.path": "Zürich"}
    assert ignored == 0


def test_stamps_win_over_headers() -> None:
    """An API key's own values always win (DESIGN section 4)."""
    found, _ = ingest_attributes(
        [("x-request-id", "r"), ("alephant-session-id", "s")], {"session.id": "stamped"}
    )

    assert found == {"agentrun.request.id": "r", "session.id": "stamped"}


@pytest.mark.parametrize(
    "headers",
    [
        [("x-request-id", "")],
        [("x-request-id", "   ")],
        [("x-request-id", "a\nb")],
        [("x-request-id", "a\x1b[31m")],
        [("x-request-id", "a\u202eb")],
        [("x-request-id", "x" * (VALUE_CHARS_MAX + 1))],
        [("alephant-property-", "v")],
        [("alephant-property-" + "n" * (NAME_CHARS_MAX + 1), "v")],
        [("alephant-property-a b", "v")],
    ],
)
def test_values_that_are_not_plain_text_are_ignored(headers: list[tuple[str, str]]) -> None:
    """They are not cut: part of an id is another id.  Direction marks forge log lines."""
    assert attributes_from_headers(headers) == ({}, 1)


def test_the_first_of_two_equal_headers_counts() -> None:
    """A proxy appends; the application's own comes first."""
    headers = [("x-request-id", "one"), ("X-Request-Id", "two")]

    assert attributes_from_headers(headers) == ({"agentrun.request.id": "one"}, 1)


def test_tags_of_one_request_are_bounded() -> None:
    headers = [(f"alephant-property-t{n}", "v") for n in range(TAGS_MAX + 5)]

    found, ignored = attributes_from_headers(headers)

    assert (len(found), ignored) == (TAGS_MAX, 5)


@given(st.lists(st.tuples(st.sampled_from([*HEADERS, "alephant-property-a", "other"]), st.text())))
def test_any_headers_give_bounded_printable_values(headers: list[tuple[str, str]]) -> None:
    found, ignored = attributes_from_headers(headers)

    ours = [name for name, _ in headers if name != "other"]
    assert len(found) + ignored == len(ours)
    assert all(0 < len(text) <= VALUE_CHARS_MAX for text in found.values())
    assert all(text.isprintable() for text in found.values())


def test_the_documented_table_is_the_one_that_is_used() -> None:
    """S2.18-S2.25: a reader of docs/receivers.md sees every header with its attribute."""
    page = (Path(__file__).parents[2] / "docs" / "receivers.md").read_text().lower()
    rows = dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", page, re.MULTILINE))

    assert rows == {**HEADERS, PROPERTY_PREFIX + "<name>": TAG_PREFIX + "<name>"}
