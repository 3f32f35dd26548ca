"""A collector for all pages, the scripted model, and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.model import ModelServer
from tests.guides.guide import Guide
from tests.support.process import CollectorProcess

Open = Callable[..., Guide]


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    with CollectorProcess(
        tmp_path_factory.mktemp("guides") / "data", store_flush_secs=0.05
    ) as running:
        yield running


@pytest.fixture
def open_guide(tmp_path: Path, collector: CollectorProcess) -> Iterator[Open]:
    """Opens a page; at the end of the test every block of it must have been used."""
    opened: list[Guide] = []

    def open_one(page: str, **settings: Any) -> Guide:
        opened.append(Guide(page, tmp_path, **{"collector": collector, **settings}))
        return opened[0]

    yield open_one
    for guide in opened:
        unused = guide.blocks.keys() - guide.used
        assert not unused, f"{guide.page}: not run: {', '.join(sorted(unused))}"


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server
