"""Of all tests: in which order their files are handed out."""

from __future__ import annotations

from typing import Final

import pytest

FIRST: Final = ("guides", "frameworks", "outage", "crash", "e2e", "dashboards")
"""Folders whose files install something or take longest: with two processes, the rest fills up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.split("/")[1] not in FIRST)
