"""What docs/sdk.md shows runs as it stands there."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from otel_agentrun import semconv
from tests.sdk.conftest import Recorded

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"


def test_the_examples_of_the_page_run(app: Recorded) -> None:
    """Installing again, as the first example does, keeps what is installed."""
    names = {
        "question": "May I?",
        "user_id": "ada",
        "agent": lambda question: "You may.",
        "handler": logging.StreamHandler(),
        "logging": logging,
    }
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)

    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)

    assert len(blocks) == 3
    kinds = [(span.attributes or {})[semconv.STEP_KIND] for span in app.spans]
    assert sorted(kinds) == sorted(
        ["other", "run", "plan", "tool", "retrieve", "model", "validate", "other", "run"]
    )


def test_every_variable_and_argument_of_install_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    source = (PAGE.parents[1] / "otel_agentrun" / "installation.py").read_text(encoding="utf-8")

    for variable in re.findall(r'"(OTEL_[A-Z_]+)"', source):
        assert variable in page, variable
