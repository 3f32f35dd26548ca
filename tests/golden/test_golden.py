"""Real exports of seven emitters give the runs that a person reviewed."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from tests.golden.render import FOLDER, render
from tests.support import captures


@pytest.mark.parametrize("source", captures.sources())
def test_a_capture_gives_the_reviewed_runs(source: str) -> None:
    """A change of a dialect or of the fold shows what it changes: `make golden`, then the diff."""
    path = FOLDER / f"{source}.txt"
    expected = path.read_text(encoding="utf-8").splitlines()
    found = render(source).splitlines()

    difference = "\n".join(
        difflib.unified_diff(expected, found, "reviewed", "now", lineterm="", n=1)
    )

    assert not difference, f"{difference[:4000]}\n\n`make golden` writes what is true now."


def test_every_golden_file_has_its_capture() -> None:
    """A capture that was removed must not leave its golden file behind."""
    assert {path.stem for path in Path(FOLDER).glob("*.txt")} == set(captures.sources())
