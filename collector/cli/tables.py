"""Figures for people: a table with the units that the dashboards show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from collector.api.values import Document
from collector.cli.rendering import clean, colored, duration, moment, money

TEXT_MAX: Final = 80
"""Characters of one cell; `--json` has them all."""


def catalog_table(figures: Sequence[Document]) -> RenderableType:
    """What can be asked for."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("NAME", "WHAT", "BY"):
        table.add_column(name)
    for figure in figures:
        table.add_row(figure["name"], figure["title"], ", ".join(figure["dimensions"]) or "-")
    return table


def stat_table(stat: Document) -> RenderableType:
    """One figure with its rows."""
    by = f" by {stat['by']}" if stat["by"] not in (None, "all") else ""
    head = Text.assemble((stat["title"], "bold"), by)
    period = Text(f"{moment(stat['since'])} to {moment(stat['until'])} UTC", style="dim")
    if not stat["rows"]:
        return Group(head, period, Text("Nothing in this period with these filters.", style="dim"))
    columns = [
        column for column in stat["columns"]
        if not (column["name"] == "dimension" and stat["by"] == "all")
    ]  # fmt: skip
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column["unit"] not in ("text", "time")
        table.add_column(column["label"].upper(), justify="right" if right else "left")
    for row in stat["rows"]:
        table.add_row(*(cell(row[column["name"]], column["unit"]) for column in columns))
    return Group(head, period, table)


def cell(value: Any, unit: str) -> str | Text:
    """A value in its unit."""
    if value is None or value == "":
        return "-"
    match unit:
        case "time":
            return moment(value)
        case "text":
            text = clean(value)
            return colored(text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "…")
        case "percentunit":
            return f"{value:.1%}"
        case "currencyUSD":
            return money(value)
        case "ms":
            return duration(value)
        case "s":
            return duration(value * 1000)
        case _:
            return (
                f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
            )
