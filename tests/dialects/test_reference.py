"""docs/dialects.md is generated: what is supported is what the modules say."""

from __future__ import annotations

import pytest

from otel_agentrun.dialects import ORDER
from tools.generate_dialects import EMITTERS, PAGE, page


def test_the_page_is_what_the_modules_say() -> None:
    stale = PAGE.read_text(encoding="utf-8") != page()

    assert not stale, "docs/dialects.md is stale: run `python -m tools.generate_dialects`"


@pytest.mark.parametrize("name", [name for name, _ in EMITTERS])
def test_every_emitter_says_what_it_was_checked_against_and_what_is_missing(name: str) -> None:
    """Nothing is guessed silently, also not by the documentation."""
    module = dict(EMITTERS)[name]

    assert module.CHECKED
    assert isinstance(module.CANNOT_TELL, tuple)
    assert all(sentence.strip() for sentence in module.CANNOT_TELL)


def test_every_dialect_is_listed() -> None:
    assert all(f"| `{dialect.name}` |" in page() for dialect in ORDER)
