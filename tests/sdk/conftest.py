"""An application with the SDK: everything it records, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

import otel_agentrun as agentrun
from otel_agentrun import lifecycle


class Recorded:
    """What one application exported so far."""

    def __init__(self, **settings: Any) -> None:
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()
        sampler = settings.pop("sampler", None)
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(agentrun.RunLogProcessor())
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.installed = agentrun.install(
            tracer_provider=self.provider, logger_provider=self.logger_provider, **settings
        )

    @property
    def tracer(self) -> Tracer:
        """Of some other instrumentation."""
        return self.provider.get_tracer("third.party")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._spans.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        [found] = [span for span in self.spans if span.name == name]
        return found

    def said(self, name: str) -> dict[str, Any]:
        """Attributes of the one span of this name."""
        return dict(self.span(name).attributes or {})

    @property
    def logs(self) -> tuple[ReadableLogRecord, ...]:
        assert self.installed.processor is not None
        assert self.installed.processor.force_flush(5000)
        return tuple(self._logs.get_finished_logs())

    def events(self, name: str) -> list[dict[str, Any]]:
        """Attributes of the events of this name, in order."""
        return [
            dict(each.log_record.attributes or {})
            for each in self.logs
            if each.log_record.event_name == name
        ]


@pytest.fixture
def make_app() -> Iterator[Callable[..., Recorded]]:
    """Install with settings of the test's own."""
    yield Recorded
    agentrun.uninstall()
    lifecycle._callbacks.clear()


@pytest.fixture
def app(make_app: Callable[..., Recorded]) -> Recorded:
    return make_app()
