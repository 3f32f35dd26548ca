"""What the application knows of its runs by itself: the collector has to come to the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import otel_agentrun as agentrun


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """One run as the SDK counted it, without its children; fields as in the run's document."""

    run_id: str
    parent_run_id: str | None
    agent_name: str
    status: str
    model_calls: int
    model_errors: int
    tool_calls: int
    tool_errors: int
    retrievals: int
    retries: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int

    @classmethod
    def of(cls, run: agentrun.Run) -> Self:
        """Of a run that has ended."""
        assert run.scope is not None
        totals = asdict(run.own_totals)
        return cls(
            run_id=run.run_id,
            parent_run_id=run.parent_run_id or None,
            agent_name=run.scope.agent_name,
            status=run.status,
            **{field.name: totals[field.name] for field in fields(cls) if field.name in totals},
        )

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        return cls(**json.loads(line))

    def differences(self, document: Mapping[str, Any]) -> str:
        """Where a run document of the collector says something else; "" where it agrees."""
        return ", ".join(
            f"{name} is {document.get(name)!r}, not {known!r}"
            for name, known in asdict(self).items()
            if document.get(name) != known
        )
