"""One store with the demo's runs and all captures, for every test of the dashboards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboards.filled import Filled, fill
from tests.support.store import store_path  # noqa: F401


@pytest.fixture(scope="package")
def filled(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:  # noqa: F811
    """Filled once: it takes some seconds.  Closed before tests of other folders, which may need an
    engine of another path."""
    with fill(store_path, tmp_path_factory.mktemp("dashboards")) as found:
        yield found
