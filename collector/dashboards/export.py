"""`agentrun dashboards export`: what Grafana loads, written into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from collector.resources import data

FOLDERS: Final = ("json", "alerting", "provisioning")
"""Dashboards; alert rules; a data source and a provider as examples of Grafana's provisioning."""


def export(folder: Path) -> list[Path]:
    """The files written, sorted; files of these names are overwritten.  Raises OSError."""
    written = []
    for name in FOLDERS:
        source = data("dashboards") / name
        if not source.is_dir():
            continue
        for entry in sorted(source.iterdir(), key=lambda one: one.name):
            if entry.name.endswith((".json", ".yaml")):
                path = folder / name / entry.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(entry.read_bytes())
                written.append(path)
    return written
