"""docs/api.md and docs/cli.md say what there is."""

from __future__ import annotations

from pathlib import Path

import click
from prometheus_client.parser import text_string_to_metric_families

from collector.accounting import Accounting
from collector.api.app import create_app
from collector.api.health import Health
from collector.api.metrics import GAUGES, Metrics
from collector.api.service import FILTERS
from collector.api.updates import Updates
from collector.cli.main import main
from collector.control.stats import ControlStats
from collector.model import Signal
from collector.receiver.stats import ReceiverStats
from tests.api.fakes import FakeOperations

DOCS = Path(__file__).parents[2] / "docs"


def test_every_route_and_metric_is_documented() -> None:
    """An undocumented metric cannot be alerted on; an undocumented route is nobody's contract."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    accounting = Accounting()
    accounting.refused(Signal.TRACES, "x", 1)
    metrics = Metrics(accounting, receiver=ReceiverStats(), control=ControlStats())
    app = create_app(FakeOperations(), health=Health({}), metrics=metrics, updates=Updates())

    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path.replace('{run_id}', '{id}')}" in page
    families = list(text_string_to_metric_families(metrics.render().decode()))
    assert len(families) > 10
    for family in families:
        if not family.name.startswith("process_"):
            assert family.name in page
    for name in GAUGES:
        assert name in page


def test_every_command_and_filter_is_documented() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")

    def walk(group: click.Group, words: str) -> None:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                walk(command, f"{words} {name}")
            else:
                assert f"`{words} {name}" in page

    walk(main, "agentrun")
    for name in FILTERS:
        assert f"--{name.replace('_', '-')}" in page
