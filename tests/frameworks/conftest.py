"""The frameworks' interpreter, and a model server that answers by a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frameworks.environment import NotInstalledError, python
from tests.frameworks.model import ModelServer


@pytest.fixture(scope="session")
def frameworks() -> Path:
    try:
        return python()
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server
