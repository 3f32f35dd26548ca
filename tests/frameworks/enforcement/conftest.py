"""Each framework is played once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.frameworks.enforcement.session import Played, play
from tests.frameworks.environment import NotInstalledError

Plays = Callable[[str], Played]


@pytest.fixture(scope="session")
def play_of(tmp_path_factory: pytest.TempPathFactory) -> Plays:
    """What came of all plays of a framework.  Skips where its environment cannot be made."""
    done: dict[str, Played | NotInstalledError] = {}

    def played(name: str) -> Played:
        if name not in done:
            try:
                done[name] = play(name, tmp_path_factory.mktemp(name))
            except NotInstalledError as error:
                done[name] = error
        found = done[name]
        if isinstance(found, NotInstalledError):
            pytest.skip(str(found))
        return found

    return played
