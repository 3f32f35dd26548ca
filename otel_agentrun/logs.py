"""The ids of the run on every log record that is written inside one.

`RunLogProcessor` is for records of OpenTelemetry, `RunLogFilter` for those of `logging`:

    handler.addFilter(agentrun.RunLogFilter())
    handler.setFormatter(logging.Formatter("%(message)s run=%(run_id)s step=%(step_id)s"))
"""

from __future__ import annotations

import logging
from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from otel_agentrun import current, semconv
from otel_agentrun.processor import current_step_id

__all__ = ["RunLogFilter", "RunLogProcessor"]


class RunLogProcessor(LogRecordProcessor):
    """Puts run, request, session and step ids on records; add it before the one that exports."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        try:
            context = log_record.log_record.context
            scope = current.current(context)
            attributes: Any = log_record.log_record.attributes
            if scope is None or attributes is None:
                return
            for name in FIELDS.values():
                value = scope.stamps.get(name)
                if value is not None and name not in attributes:
                    attributes[name] = value
            step_id = current_step_id(context)
            if step_id is not None and semconv.STEP_ID not in attributes:
                attributes[semconv.STEP_ID] = step_id
        except Exception:
            # A log line about a log line would come back here.
            return

    def shutdown(self) -> None:
        """Nothing to end."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class RunLogFilter(logging.Filter):
    """Gives every record `run_id`, `parent_run_id`, `request_id`, `session_id` and `step_id`; ""
    outside of runs.  Lets all records pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        scope = current.current()
        stamps: dict[str, Any] = scope.stamps if scope is not None else {}
        for field, name in FIELDS.items():
            if not hasattr(record, field):
                setattr(record, field, stamps.get(name, ""))
        if not hasattr(record, "step_id"):
            step_id = current_step_id() if scope is not None else None
            record.step_id = "" if step_id is None else step_id
        return True


FIELDS = {
    "run_id": semconv.RUN_ID,
    "parent_run_id": semconv.RUN_PARENT_ID,
    "request_id": semconv.REQUEST_ID,
    "session_id": semconv.SESSION_ID,
}
"""Field of a `logging` record -> attribute."""
