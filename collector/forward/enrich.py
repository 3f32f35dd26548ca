"""What the collector knows of a span beyond the span: attributes to add, names to match on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from collector.forward.otlp import NOTHING, Added, Rows
from collector.forward.payload import COST, Payload
from otel_agentrun import semconv

OF_PLACE: Final = {"kind": semconv.STEP_KIND, "agent_name": semconv.GEN_AI_AGENT_NAME}
OF_RUN: Final = {
    "parent_run_id": semconv.RUN_PARENT_ID,
    "workflow_name": semconv.GEN_AI_WORKFLOW_NAME,
    "task_type": semconv.TASK_TYPE,
}
NO_PLACE: Final[Mapping[str, Any]] = {}


class Known:
    """What a payload says about the runs of its spans."""

    def __init__(self, payload: Payload) -> None:
        places = payload.places.to_pylist() if payload.places is not None else []
        self._places: dict[tuple[str, str], Mapping[str, Any]] = {
            (place["TraceId"], place["SpanId"]): place for place in places
        }
        runs = payload.runs.to_pylist() if payload.runs is not None else []
        self._runs: dict[str, Mapping[str, Any]] = {run["run_id"]: run for run in runs}

    def place(self, rows: Rows, row: int) -> Mapping[str, Any]:
        return self._places.get((rows["TraceId"][row], rows["SpanId"][row]), NO_PLACE)

    def attributes(self, rows: Rows, row: int) -> Added:
        """Of a span.  What the emitter said stays, except the run: it named the enclosing one."""
        place = self.place(rows, row)
        given = {key for key, _ in rows["SpanAttributes"][row]}
        found: dict[str, str | float] = {
            key: text for key, text in rows["IngestAttributes"][row] if key not in given
        }
        if not place or not place["run_id"]:
            return found or NOTHING
        run = self._runs.get(place["run_id"], NO_PLACE)
        for values, names in ((place, OF_PLACE), (run, OF_RUN)):
            for name, key in names.items():
                if key not in given and (text := values.get(name)):
                    found[key] = text
        found[semconv.RUN_ID] = place["run_id"]
        if place[COST] is not None and semconv.COST_USD not in given:
            found[semconv.COST_USD] = place[COST] / 1e9
        return found

    def names(self, rows: Rows, row: int) -> Mapping[str, object]:
        """What a match expression over a span can name: its attributes, its resource's, and where
        the fold placed it."""
        place = self.place(rows, row)
        run = self._runs.get(place.get("run_id", ""), NO_PLACE)
        return {
            **dict(rows["ResourceAttributes"][row]),
            **dict(rows["IngestAttributes"][row]),
            **dict(rows["SpanAttributes"][row]),
            "service_name": rows["ServiceName"][row],
            "scope": rows["ScopeName"][row],
            "status": rows["StatusCode"][row].lower(),
            "name": rows["SpanName"][row],
            **run,
            **place,
        }


def log_names(rows: Rows, row: int) -> Mapping[str, object]:
    """What a match expression over a log record can name."""
    return {
        **dict(rows["ResourceAttributes"][row]),
        **dict(rows["IngestAttributes"][row]),
        **dict(rows["LogAttributes"][row]),
        "service_name": rows["ServiceName"][row],
        "scope": rows["ScopeName"][row],
        "severity": rows["SeverityText"][row],
        "name": rows["EventName"][row],
    }


def log_attributes(rows: Rows, row: int) -> Added:
    given = {key for key, _ in rows["LogAttributes"][row]}
    return {key: text for key, text in rows["IngestAttributes"][row] if key not in given}
