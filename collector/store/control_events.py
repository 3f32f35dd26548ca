"""Control events in the store: what was known before a restart, and what others
decided."""

from __future__ import annotations

from typing import Final

from collector.runs.events import APPROVAL_REQUESTED, DECISION, DIRECTIVE
from collector.store import rows
from collector.store.client import Store
from collector.store.filters import time_sql
from otel_agentrun import semconv
from otel_agentrun.step import Event

__all__ = ["control_events"]

READ_MAX: Final = 100_000
"""Events of one reading, newest first; what is older is not waited for by anybody."""
# Decisions of agents are many; control needs those that answer somebody.
WANTED: Final = (
    f"(Name IN ('{DIRECTIVE}', '{APPROVAL_REQUESTED}')"
    f" OR (Name = '{DECISION}' AND Attributes['{semconv.APPROVAL_ID}'] != ''))"
)


def control_events(store: Store, since_ns: int, received_secs: int = 0) -> list[Event]:
    """Directives with their answers, and approvals with theirs, by time.

    Of those that happened since `since_ns` and that the store has had since `received_secs` (Unix
    seconds by the store's clock).  Raises StoreError.
    """
    table = store.arrow(
        f"SELECT {rows.select_list(rows.EVENT_COLUMNS)} FROM agent_events FINAL"
        f" WHERE Timestamp >= {time_sql(since_ns)} AND ReceivedAt >= {int(received_secs)}"
        f" AND {WANTED} ORDER BY Timestamp DESC, EventId LIMIT {READ_MAX}"
    )
    events = [event for event, _ in rows.events_of(table)]
    return sorted(events, key=lambda event: (event.at_ns, event.event_id))
