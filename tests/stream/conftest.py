"""An application whose control stream goes to a collector of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

import otel_agentrun as agentrun
from otel_agentrun import lifecycle


class Application:
    """Log records that leave as such are kept in memory."""

    def __init__(self, control: str | bool | None, **settings: Any) -> None:
        self._logs = InMemoryLogRecordExporter()
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.installed = agentrun.install(
            tracer_provider=TracerProvider(shutdown_on_exit=False), logger_provider=provider,
            control=control, **settings,
        )  # fmt: skip
        assert self.installed.control is not None
        self.control = self.installed.control

    def logged(self, name: str) -> list[Any]:
        """Records of this name that went out as OTLP log records."""
        found = [each.log_record for each in self._logs.get_finished_logs()]
        return [record for record in found if record.event_name == name]


@pytest.fixture
def start_app() -> Iterator[Callable[..., Application]]:
    yield lambda port, scheme="http", **settings: Application(
        f"{scheme}://127.0.0.1:{port}", **settings
    )
    agentrun.uninstall()
    lifecycle._callbacks.clear()
