"""A directive given at one collector reaches the application that is connected to another, through
the store they share."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from tests.control.application import Application, an_open_run
from tests.e2e.talk import Talk, eventually
from tests.support.clickhouse_fixtures import (  # noqa: F401  # fixtures
    Database,
    clickhouse,
    clickhouse_server,
)
from tests.support.process import CollectorProcess


def test_a_directive_goes_from_collector_to_collector(
    tmp_path: Path,
    clickhouse: Database,  # noqa: F811
) -> None:
    """And its acknowledgment comes back the same way."""
    settings = {"store": clickhouse.url, "store_flush_secs": 0.05, "control_poll_secs": 0.1}
    agent = f"agent-{uuid.uuid4().hex[:8]}"
    run = an_open_run(uuid.uuid4().hex, agent=agent)
    with (
        CollectorProcess(tmp_path / "a", **settings) as a,  # type: ignore[arg-type]  # settings are strings too
        CollectorProcess(tmp_path / "b", **settings) as b,  # type: ignore[arg-type]
        Application(b, run) as application,
    ):
        application.welcome()
        given = Talk(a).api("/v1/stop", method="POST", body={"agent": agent}).document
        began = time.monotonic()
        assert (given["sent_to"], given["held_by"]) == (0, 0)
        directive = application.directive()
        assert directive.id == given["directive_id"]
        assert time.monotonic() - began < 5

        application.confirmed(application.acknowledge(directive, run.run_id))
        path = f"/v1/directives/{directive.id}"
        known = eventually(lambda: d if (d := Talk(a).get(path))["answers"] else None)
    assert known["status"] == "acknowledged"
    assert known["answers"][0]["run_id"] == run.run_id
