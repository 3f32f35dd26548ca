"""Operations over a dict, for tests of the edges: no store, no pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.api.service import Feedback, RunQuery, Selector
from collector.api.values import Document, NotFoundError, format_time
from collector.errors import StoreError

NOON_NS = 1_738_324_800_000_000_000
"""2025-01-31T12:00:00Z."""


def a_run(run_id: str, *, minutes_ago: int = 0, **fields: object) -> Document:
    started = NOON_NS - minutes_ago * 60_000_000_000
    return {
        "run_id": run_id,
        "parent_run_id": None,
        "child_run_ids": [],
        "trace_ids": [run_id],
        "agent_name": "support",
        "status": "completed",
        "stop_reason": "completed",
        "started_at": format_time(started),
        "ended_at": format_time(started + 2_500_000_000),
        "duration_ms": 2500.0,
        "steps": 3,
        "steps_total": 3,
        "model_calls_total": 2,
        "tool_calls_total": 1,
        "input_tokens_total": 1200,
        "output_tokens_total": 80,
        "cost_usd_total": 0.00312,
        "findings": [],
        "tags": {},
        "quality": {},
        "revision": 5,
        **fields,
    }


def a_step(span_id: str, parent: str | None = None, **fields: object) -> Document:
    return {
        "step_id": 1,
        "span_id": span_id,
        "parent_span_id": parent,
        "trace_id": "t1",
        "run_id": "t1",
        "kind": "tool",
        "name": "search",
        "status": "success",
        "started_at": format_time(NOON_NS),
        "duration_ms": 12.5,
        **fields,
    }


@dataclass
class FakeOperations:
    """Runs by id; equality filters on a few fields; remembers what was asked."""

    documents: dict[str, Document] = field(default_factory=dict)
    steps: dict[str, list[Document]] = field(default_factory=dict)
    events: dict[str, list[Document]] = field(default_factory=dict)
    queries: list[RunQuery] = field(default_factory=list)
    deleted: list[tuple[Selector, str]] = field(default_factory=list)
    judged: list[tuple[Feedback, str]] = field(default_factory=list)
    down: bool = False
    """The store does not answer."""

    def runs(self, query: RunQuery) -> list[Document]:
        self._ask()
        self.queries.append(query)
        wanted = {
            "agent_name": query.agent,
            "status": query.status,
            "workspace": query.workspace,
        }
        found = [
            run
            for run in self.documents.values()
            if all(not value or run.get(name) == value for name, value in wanted.items())
        ]
        return sorted(found, key=lambda run: str(run["started_at"]), reverse=True)[: query.limit]

    def run(self, run_id: str, workspace: str = "") -> Document | None:
        self._ask()
        run = self.documents.get(run_id)
        return run and {
            "run": run,
            "steps": self.steps.get(run_id, []),
            "events": self.events.get(run_id, []),
        }

    def explain(self, run_id: str, workspace: str = "") -> Document | None:
        self._ask()
        run = self.documents.get(run_id)
        return run and {"run_id": run_id, "spans": [], "data_quality": {}}

    def delete(self, selector: Selector, *, actor: str) -> Document:
        self._ask()
        self.deleted.append((selector, actor))
        gone = [self.documents.pop(run_id, None) for run_id in selector.run_ids]
        return {"runs": sum(run is not None for run in gone), "actor": actor}

    def feedback(self, feedback: Feedback, *, actor: str) -> Document:
        self._ask()
        if feedback.run_id not in self.documents:
            raise NotFoundError(f"no run {feedback.run_id!r}")
        self.judged.append((feedback, actor))
        return {"event_id": "e1", "name": "agentrun.feedback", "at": format_time(NOON_NS)}

    def doctor(self) -> list[Document]:
        return [{"check": "journal", "status": "ok", "message": "writable", "hint": None}]

    def _ask(self) -> None:
        if self.down:
            raise StoreError("ClickHouse does not answer", "Start it, or check `store.url`.")
