"""What people see: tables and trees on stdout; and what programs see: one JSON document.

Names and messages come from whatever was exported, so control characters in them are shown, never
sent to the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click
import orjson
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from collector.api.values import Document
from collector.cli.decisions import in_words
from otel_agentrun import semconv

STEPS_MAX: Final = 500
"""Steps of one run that a tree shows; `--json` has them all."""
PIPE_WIDTH: Final = 240
"""Columns where stdout is no terminal: wide enough that ids are whole."""
TOLD: Final = frozenset(
    {
        semconv.RUN_STARTED_EVENT, semconv.RUN_HEARTBEAT_EVENT, semconv.RUN_ENDED_EVENT,
        semconv.FINDING_EVENT,
    }
)  # fmt: skip
"""Events that the lines about the run say in other words."""
COLORS: Final[Mapping[str, str]] = {
    "completed": "green", "success": "green", "ok": "green",
    "running": "cyan", "initiated": "cyan", "paused": "yellow", "warn": "yellow",
    "failed": "red", "error": "red", "timeout": "red", "timed_out": "red", "fail": "red",
    "killed": "magenta", "cancelled": "magenta", "skipped": "dim",
}  # fmt: skip

_UNSAFE: Final = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (9, 10)
} | {
    code: f"\\u{code:04x}"
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)
}


def clean(value: object) -> str:
    """Text of an emitter on one line: controls and direction overrides are spelled out."""
    return " ".join(str(value).translate(_UNSAFE).split())


def print_json(document: object) -> None:
    """One document and nothing else on stdout; indented for a terminal."""
    option = orjson.OPT_APPEND_NEWLINE
    if sys.stdout.isatty():
        option |= orjson.OPT_INDENT_2
    click.echo(orjson.dumps(document, option=option), nl=False)


def json_line(document: object) -> bytes:
    """One document on one line, for a stream of them."""
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def show(*renderables: RenderableType) -> None:
    """On stdout; plain text of full width when it is no terminal."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(width=width, highlight=False, soft_wrap=False)
    for each in renderables:
        console.print(each)


def notes() -> Console:
    """For progress and remarks: stderr, so that stdout stays the answer."""
    return Console(stderr=True, highlight=False)


def colored(word: object) -> Text:
    text = clean(word or "-")
    return Text(text, style=COLORS.get(text, ""))


def duration(ms: float | None) -> str:
    if ms is None:
        return "-"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {seconds:02d} s"


def moment(text: str | None) -> str:
    """RFC 3339 to the second, in UTC as stored."""
    return clean(text or "-").replace("T", " ")[:19]


def money(usd: float | None) -> str:
    if usd is None:
        return "-"
    return f"${usd:.4f}" if abs(usd) < 1 else f"${usd:,.2f}"


def tokens(document: Document, suffix: str = "") -> str:
    sent, got = (document.get(f"{way}_tokens{suffix}") for way in ("input", "output"))
    return "-" if sent is None and got is None else f"{sent or 0:,} → {got or 0:,}"


def why(run: Document) -> str:
    """What is worth knowing about how a run ended."""
    reason = run.get("stop_reason")
    parts = [
        run.get("failure_mode"),
        reason if reason != "completed" else None,
        run.get("error_type"),
        *(finding.get("rule") for finding in run.get("findings") or ()),
    ]
    return clean(", ".join(dict.fromkeys(str(part) for part in parts if part)))


def runs_table(runs: Sequence[Document]) -> RenderableType:
    if not runs:
        return Text("No runs match.", style="dim")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("RUN", no_wrap=True, overflow="fold")
    for name in ("STARTED (UTC)", "AGENT", "STATUS"):
        table.add_column(name, no_wrap=True)
    for name in ("TIME", "STEPS", "MODEL", "TOOLS", "TOKENS", "COST"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("WHY")
    for run in runs:
        table.add_row(*_run_cells(run))
    return table


def run_line(run: Document) -> Text:
    """One update of `runs tail`."""
    return Text("  ").join(
        cell if isinstance(cell, Text) else Text(cell) for cell in _run_cells(run) if cell
    )


def _run_cells(run: Document) -> list[str | Text]:
    return [
        Text(clean(run["run_id"])),
        moment(run.get("started_at")),
        Text(clean(run.get("agent_name") or run.get("workflow_name") or "-")),
        colored(run.get("status")),
        duration(run.get("duration_ms")),
        str(run.get("steps_total") or 0),
        str(run.get("model_calls_total") or 0),
        str(run.get("tool_calls_total") or 0),
        tokens(run, "_total"),
        money(run.get("cost_usd_total")),
        Text(why(run)),
    ]


def shown_run(shown: Document) -> RenderableType:
    """A run as a tree of its steps, below what it is and above what was decided about it."""
    run, steps, events = shown["run"], shown["steps"], shown["events"]
    head = Text.assemble(("run ", "bold"), clean(run["run_id"]), "  ", colored(run.get("status")))
    return Group(head, _facts(run), _tree(run, steps), *_findings(run), *_events(steps, events))


def _facts(run: Document) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False)
    facts = {
        "agent": run.get("agent_name"),
        "outcome": run.get("outcome"),
        "why": why(run),
        "error": run.get("error_message"),
        "started": moment(run.get("started_at")),
        "time": duration(run.get("duration_ms")),
        "steps": f"{run.get('steps_total') or 0} ({run.get('model_calls_total') or 0} model, "
        f"{run.get('tool_calls_total') or 0} tool)",
        "tokens": tokens(run, "_total"),
        "cost": f"{money(run.get('cost_usd_total'))} ({run.get('cost_confidence_total') or '-'})",
        "session": run.get("session_id"),
        "user": run.get("user_id"),
        "parent run": run.get("parent_run_id"),
        "quality": _pairs(run.get("quality")),
        "tags": _pairs(run.get("tags")),
        "input": _short(run.get("input")),
        "output": _short(run.get("output")),
    }
    for name, value in facts.items():
        if value not in (None, "", "-"):
            table.add_row(Text(name, style="dim"), Text(clean(value)))
    return table


def _pairs(values: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in (values or {}).items())


def _short(value: object, most: int = 200) -> str:
    text = (
        "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
    )
    text = clean(text)
    return text if len(text) <= most else text[:most] + "…"


def explained_run(document: Document) -> RenderableType:
    """A run as the tree of its spans, each with how it was read and why it counts or does not."""
    head = Text.assemble(
        ("run ", "bold"), clean(document["run_id"]), "  ", colored(document.get("status")),
        (f"  {clean(document.get('agent_name') or '')}", ""),
    )  # fmt: skip
    notes = Table(box=None, show_header=False, pad_edge=False)
    for name, text in document["data_quality"].items():
        notes.add_row(Text(clean(name), style="yellow"), Text(clean(text)))
    return Group(head, notes, _tree({}, document["spans"], _explained_line))


def explained_outside(spans: Sequence[Document]) -> RenderableType:
    """Spans in no run."""
    head = Text("in no run", style="bold")
    return Group(head, _tree({}, spans, _explained_line))


def _explained_line(span: Document, _: set[str]) -> Text:
    line = Text.assemble(
        ("+ " if span["counted"] else "- ", "green" if span["counted"] else "dim"),
        (clean(span.get("kind") or "span"), "bold"), " ", clean(span["name"]),
        (f"  {clean(span.get('dialect') or 'no dialect')}", "cyan"),
        (f"  {clean(span['scope'])}", "dim"),
        f"\n  {clean(span['why'])}",
    )  # fmt: skip
    for key, value in (span.get("decided_by") or {}).items():
        line.append(f"\n  kind by {clean(key)} = {_short(value, 60)}", style="dim")
    for each in span.get("fields") or ():
        line.append(f"\n  {clean(each['field'])} ", style="")
        line.append(f"<- {clean(each['attribute'])} = {_short(each['value'], 60)}", style="dim")
    if computed := span.get("worked_out"):
        line.append(f"\n  worked out: {clean(', '.join(computed))}", style="dim")
    if unread := span.get("unread"):
        line.append(f"\n  unread: {_short(', '.join(unread))}", style="dim")
    return line


def _tree(
    run: Document,
    steps: Sequence[Document],
    line: Callable[[Document, set[str]], Text] | None = None,
) -> Tree:
    """Every step appears once: under its parent where that is here, else at the top."""
    root = Tree(Text("steps", style="bold"), guide_style="dim")
    inner = set(run.get("child_run_ids") or ())
    ordered = sorted(steps, key=lambda step: (str(step.get("started_at")), str(step["span_id"])))
    children: dict[str, list[Document]] = {}
    ids = {step["span_id"] for step in ordered}
    for step in ordered:
        parent = step.get("parent_span_id") or ""
        if parent in ids and parent != step["span_id"]:
            children.setdefault(parent, []).append(step)
        else:
            children.setdefault("", []).append(step)
    placed: set[str] = set()
    todo = [(root, step) for step in reversed(children.get("", []))]
    rest = iter(ordered)  # steps whose parents form a circle hang below no other
    while len(placed) < min(len(ids), STEPS_MAX):
        if not todo:
            todo = [(root, next(step for step in rest if step["span_id"] not in placed))]
        branch, step = todo.pop()
        if step["span_id"] in placed:
            continue
        placed.add(step["span_id"])
        node = branch.add((line or _step_line)(step, inner))
        todo += [(node, child) for child in reversed(children.get(step["span_id"], []))]
    if len(ids) > STEPS_MAX:
        root.add(Text(f"… {len(ids) - STEPS_MAX:,} more; --json has them all", style="dim"))
    return root


def _step_line(step: Document, child_runs: set[str]) -> Text:
    line = Text.assemble((f"{clean(step.get('kind') or 'other'):<9}", "dim"))
    line.append(clean(step.get("tool_name") or step.get("model") or step.get("name") or "-"))
    line.append(f"  {duration(step.get('duration_ms'))}", style="dim")
    if step.get("input_tokens") is not None or step.get("output_tokens") is not None:
        line.append(f"  {tokens(step)}")
    if step.get("cost_usd") is not None:
        line.append(f"  {money(step['cost_usd'])}")
    if step.get("attempt"):
        line.append(f"  retry {step['attempt']}", style="yellow")
    if step.get("status") not in (None, "success"):
        line.append("  ")
        line.append_text(colored(step["status"]))
        line.append(f" {_short(step.get('error_type') or step.get('error_message') or '', 80)}")
    own = f"{step.get('trace_id')}-{step['span_id']}"
    if own in child_runs:
        line.append(f"  → run {clean(own)}", style="cyan")
    return line


def _findings(run: Document) -> list[RenderableType]:
    return [
        Text.assemble(("finding ", "yellow"), clean(f"{each['rule']}: {each['explanation']}"))
        for each in run.get("findings") or ()
    ]


def _events(steps: Sequence[Document], events: Sequence[Document]) -> list[RenderableType]:
    """What is not shown above already: of a lost run also the last things that it told of."""
    in_tree = {step["span_id"] for step in steps}
    lines: list[RenderableType] = []
    for event in events:
        if event["name"] in TOLD or (
            event["name"] == semconv.RUN_STEP_EVENT and event["span_id"] in in_tree
        ):
            continue
        line = Text(f"{moment(event.get('at'))} ", "dim")
        attributes = event.get("attributes") or {}
        if decided := in_words(event["name"], attributes):
            lines.append(line.append(clean(decided), "default"))
            continue
        said = _pairs(attributes)
        line.append(clean(event["name"]), "default")
        lines.append(line.append(f"  {_short(said)}" if said else ""))
    return lines


def terms_table(terms: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """The terms of promise 2 by signal; signals without items are left out."""
    names = (
        "received",
        "recovered",
        "stored",
        "refused",
        "deduplicated",
        "dead_lettered",
        "pending",
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("SIGNAL")
    for name in names:
        table.add_column(name.upper().replace("_", " "), justify="right")
    remarks: list[RenderableType] = []
    for signal, values in terms.items():
        if any(values.get(name) for name in names):
            table.add_row(clean(signal), *(f"{values.get(name, 0):,}" for name in names))
        for name in ("refused", "dead_lettered"):
            for reason, items in (values.get(f"{name}_by_reason") or {}).items():
                remarks.append(Text(clean(f"{signal}: {items:,} {name} as {reason}"), "yellow"))
    return Group(table, *remarks)


def backtest_table(report: Document) -> RenderableType:
    """What each rule would have done; rules that would have done nothing are left out."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("RULE")
    table.add_column("KIND")
    names = ("flagged", "warned", "paused", "killed", "completed_well_hit")
    for name in names:
        table.add_column(name.upper().replace("_", " "), justify="right")
    table.add_column("SAVED", justify="right")
    table.add_column("SUCH AS")
    for rule in report["rules"]:
        if any(rule[name] for name in names):
            table.add_row(
                clean(rule["rule"]),
                rule["kind"],
                *(f"{rule[name]:,}" for name in names),
                f"${rule['saved_usd']:,.2f}",
                clean(next(iter(rule["examples"]), "")),
            )
    return table


def findings_table(findings: Sequence[Document]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        message = Text("\n".join(clean(line) for line in str(finding["message"]).splitlines()))
        if finding.get("hint"):
            message.append(f"\n→ {clean(finding['hint'])}", style="bold")
        table.add_row(colored(finding["status"]), Text(clean(finding["check"])), message)
    return table
