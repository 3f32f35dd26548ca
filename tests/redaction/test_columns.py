"""Columns: the same answers as one value at a time, whatever the layout of the array."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import ConfigError
from collector.redaction import SMALL_COLUMN, ArrowRedactor, load_or_create_key, redact_problems
from otel_agentrun.detectors import DETECTORS
from otel_agentrun.redact import RedactSettings, detectors
from tests.redaction.seeds import KEY, PHRASES
from tests.redaction.test_redact import DEFAULT, SECRETS, texts

KEYS = (None, "a", "db.password", "user.id", "gen_ai.response.id", "input.value", "exception.type")
PATTERNS = (
    ("ends", r"end\s[0-9]+$"),
    ("dots", r"(?i)^x.{2}é"),
    ("space", r"a\sb[^\s]c"),
    ("words", r"\bEMP-\d{5}\b"),
)
ARROWS = [
    ArrowRedactor(RedactSettings(key=KEY)),
    ArrowRedactor(RedactSettings(key=KEY, detectors=frozenset(detectors()), patterns=PATTERNS)),
    ArrowRedactor(RedactSettings(key=KEY, content="structure", identity_mode="always")),
    ArrowRedactor(RedactSettings(key=KEY, detectors=frozenset(detectors()), content="full")),
]
cells = st.one_of(
    st.none(),
    texts,
    st.sampled_from(["end 1\n", "end\x0b12", "xaaé", "XßßÉ", "a\x0bb-c", "EMP-12345", "Ada@x.org"]),
    st.text(alphabet="kK\u017fsSpawordéi\u0130=:\"' 1", max_size=20),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(cells, st.sampled_from(KEYS)), max_size=8),
    st.sampled_from(ARROWS),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([pa.string(), pa.large_string()]),
)
def test_columns_and_values_agree(
    rows: list[tuple[str | None, str | None]],
    arrow: ArrowRedactor,
    content: bool,
    skipped: int,
    padded: bool,
    kind: pa.DataType,
) -> None:
    """The prefilter may cost time, never a secret: element by element the same result."""
    if padded:  # past the size up to which every value is looked at anyway
        rows = [*rows, *[("plain", None)] * SMALL_COLUMN]
    before = [("dropped", None)] * skipped
    values: Any = pa.array([value for value, _ in before + rows], kind)[skipped:]
    keys: Any = pa.array([key for _, key in before + rows], pa.string())[skipped:]

    redacted, changed = arrow.values(values, keys, content=content)

    expected = [
        None if value is None else arrow.redactor.value(value, key, content=content)
        for value, key in rows
    ]
    assert redacted.to_pylist() == expected
    assert redacted.type == kind
    assert changed == sum(a != b for (a, _), b in zip(rows, expected, strict=True))
    encoded = keys.dictionary_encode()
    assert arrow.values(values, encoded, content=content)[0].to_pylist() == expected


def test_every_seed_is_found_in_a_column_without_keys() -> None:
    """Span names and status messages have no key."""
    cells = (
        ["text"] * SMALL_COLUMN
        + [f"x {secret}" for _, secret in SECRETS]
        + [text for text, _ in PHRASES]
    )

    redacted, changed = ARROWS[0].values(pa.array([*cells, None, "plain"]), None)

    assert changed == len(cells) - SMALL_COLUMN
    assert redacted.to_pylist() == [*(DEFAULT.value(cell) for cell in cells), None, "plain"]


def test_an_untouched_column_is_returned_as_it_is() -> None:
    """Nothing is copied for the batches without secrets, which is nearly all of them."""
    values = pa.array(["plain", None, "text"] * SMALL_COLUMN)

    redacted, changed = ARROWS[0].values(values, None)

    assert redacted is values
    assert changed == 0
    assert ARROWS[0].values(pa.array([], pa.string()), None)[1] == 0


def test_needles_admit_what_hints_admit() -> None:
    """Every seed passes both filters of the detector that finds it."""
    for rule, secret in SECRETS:
        detector = next(d for d in DETECTORS if d.name == rule)
        assert detector.may_match(secret, secret.lower()), rule
        assert list(detector.find(secret)), rule


def test_what_re2_refuses_is_refused_at_start() -> None:
    """A pattern must mean the same in the application and in the collector."""
    found = redact_problems(RedactSettings(key=KEY, patterns=(("wide", "x{1001}"), ("ok", "x"))))

    assert len(found) == 1
    assert "patterns.wide: RE2 refuses it" in found[0]
    with pytest.raises(ConfigError, match=r"patterns\.wide"):
        ArrowRedactor(RedactSettings(key=KEY, patterns=(("wide", "x{1001}"),)))


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    """Markers stay comparable over restarts; nobody else on the machine can test guesses."""
    path = tmp_path / "new" / "redaction.key"

    key = load_or_create_key(path)

    assert len(key) == 32
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["redaction.key"]


def _load(path: str, results: Any) -> None:
    results.put(load_or_create_key(Path(path)))


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    """The first link wins; the others read it."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=_load, args=(str(tmp_path / "key"), results)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    keys = {results.get(timeout=30) for _ in workers}
    for worker in workers:
        worker.join(30)

    assert len(keys) == 1


def test_a_damaged_key_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """Going on with another key would make equal secrets look different."""
    path = tmp_path / "key"
    path.write_bytes(b"short")

    with pytest.raises(ConfigError, match="expected a redaction key of 32 bytes, got 5"):
        load_or_create_key(path)


def test_a_member_by_configured_key_is_found_at_any_depth() -> None:
    """Configured names need no detector of their own."""
    arrow = ArrowRedactor(RedactSettings(key=KEY, keys=("acme_*_pin", "*.badge")))
    cell = json.dumps({"outer": json.dumps({"acme_door_pin": "x1", "badge": ["y2"]})})

    padding = ["plain"] * SMALL_COLUMN
    redacted, changed = arrow.values(pa.array([cell, *padding]), None)

    assert changed == 1
    inner = json.loads(json.loads(redacted[0].as_py())["outer"])
    assert inner["acme_door_pin"].startswith("[redacted:key:")
    assert inner["badge"][0].startswith("[redacted:key:")
