"""The scan before the detectors: it may name a value too many, never one too few."""

from __future__ import annotations

import json
import re
import threading

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.redaction import ArrowRedactor
from collector.redaction_scan import HintScanner
from otel_agentrun.detectors import DETECTORS
from otel_agentrun.redact import RedactSettings
from tests.redaction.seeds import KEY, PHRASES, TOKENS

HINTS = [detector.hint for detector in DETECTORS]
SCANNER = HintScanner(HINTS)
SECRETS = [secret for secrets in TOKENS.values() for secret in secrets] + [p for p, _ in PHRASES]
cells = st.one_of(
    st.none(),
    st.sampled_from([*SECRETS, "", "plain", "é", "token", "=x", "sk-", "abc", "user@", "+1"]),
    st.text(max_size=8),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(cells, max_size=12),
    st.integers(0, 3),
    st.sampled_from([pa.string(), pa.large_string()]),
)
def test_every_value_that_a_hint_matches_is_named(
    texts: list[str | None], skipped: int, kind: pa.DataType
) -> None:
    """Whatever stands beside it, in slices, between nulls and empty values, in any type of text."""
    column = pa.array(texts, kind)[skipped:]
    found = SCANNER.suspects(column)

    assert found == sorted(set(found))
    for row, text in enumerate(column.to_pylist()):
        if text is not None and any(re.search(hint, text, re.ASCII) for hint in HINTS):
            assert row in found


def test_a_value_full_of_matches_is_named_once() -> None:
    """What follows the first match of a value is not searched, so hostile text costs no more."""
    column = pa.array(["a", "token=x " * 10_000, "b", "sk-abcdef", "c"])

    assert SCANNER.suspects(column) == [1, 3]


def test_threads_share_a_scanner() -> None:
    """Requests are decoded in worker threads; each needs memory of its own to scan with."""
    column = pa.array(["x" * 5000, "sk-abcdef"] * 200)
    expected = list(range(1, 400, 2))
    results: list[bool] = []

    def scan() -> None:
        results.extend(SCANNER.suspects(column) == expected for _ in range(5))

    threads = [threading.Thread(target=scan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert results == [True] * 20


@pytest.mark.parametrize("key", ["user.id", "user.email"])
@pytest.mark.parametrize("content", [False, True])
def test_identities_are_content_of_events_under_structure(key: str, content: bool) -> None:
    """A column says what one value says, whichever reason to look at a value comes first."""
    arrow = ArrowRedactor(RedactSettings(key=KEY, content="structure"))
    texts = ["Ada Lovelace", "ada@example.org", "+1 555 010 9999", "17", json.dumps({"a": 1})]

    redacted, _ = arrow.values(pa.array(texts), pa.array([key] * len(texts)), content=content)

    assert redacted.to_pylist() == [
        arrow.redactor.value(text, key, content=content) for text in texts
    ]
