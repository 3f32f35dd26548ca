"""`agentrun explain FILE`: a file through decoder, dialects and fold, without a store."""

from __future__ import annotations

import time
from pathlib import Path

from collector import settings
from collector.api.values import Document
from collector.config import Config
from collector.model import Signal
from collector.normalize import events_of, steps_of, views_of
from collector.receiver.decode import Decoder
from collector.receiver.otlp_json import iter_requests
from collector.runs.assembler import Assembler
from collector.runs.explain import explained, outside
from otel_agentrun import dialects
from otel_agentrun.step import SpanView


def explain_file(config: Config, path: Path) -> Document:
    """`{runs, outside}`: what `/v1/runs/{id}/explain` says of every run, and spans in no run.

    Raises PermanentError for a file that is no OTLP, OSError.
    """
    dialects.use(settings.mappings(config))
    decoder = Decoder(settings.decode_limits(config))
    assembler = Assembler(settings.assembler(config), settings.pricing(config.prices))
    now_ns = time.time_ns()
    views: dict[tuple[str, str], SpanView] = {}
    for signal, encoding, body in iter_requests(path):
        if signal is Signal.TRACES:
            read = decoder.traces_json if encoding == "json" else decoder.traces
            batch = read(body, received_at_ns=now_ns).batch
            for view in views_of(batch, lambda _: True, None, lambda _: True):
                views[view.trace_id, view.span_id] = view
            assembler.add(steps_of(batch), now_ns)
        elif signal is Signal.LOGS:
            read = decoder.logs_json if encoding == "json" else decoder.logs
            for event in events_of(read(body, received_at_ns=now_ns).batch):
                assembler.add_event(event, now_ns)
    # As at the end of an ingest: what is open is closed.
    for event in assembler.quiet(now_ns, everything=True):
        assembler.add_event(event, now_ns)
    changes = assembler.changes()
    runs = [
        explained(run, [p for p in changes.steps if p.run_id == run.run_id], views)
        for run in sorted(changes.runs, key=lambda run: (run.started_at_ns, run.run_id))
    ]
    placed = {(each.step.trace_id, each.step.span_id) for each in changes.steps}
    return {
        "runs": runs,
        "outside": outside([view for key, view in views.items() if key not in placed]),
    }
