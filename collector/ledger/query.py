"""Which entries of the ledger.  Light: the command line starts with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

LIMIT_DEFAULT: Final = 1000
LIMIT_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerQuery:
    """`None` and "" stand for any."""

    run_id: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int | None = LIMIT_DEFAULT
    """The newest so many; `None` for all of them."""


class LedgerOperations(Protocol):
    """Both raise StoreError."""

    def entries(self, query: LedgerQuery) -> list[dict[str, Any]]:
        """Entries as documents, oldest first."""

    def verify(self) -> dict[str, Any]:
        """`{ok, entries, chains}`: every chain, and what is wrong with it."""
