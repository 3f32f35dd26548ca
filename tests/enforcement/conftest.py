"""An application whose runs are stopped, paused and asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import otel_agentrun as agentrun
from otel_agentrun import lifecycle, runtime
from otel_agentrun.verdicts import Verdict
from tests.sdk.conftest import Recorded

__all__ = ["KILL", "PAUSE", "App", "Make"]

KILL = Verdict(
    action="kill", stop_reason="killed_by_operator", reason="enough", actor="ann",
    span_ids=("00000000000000aa",),
)  # fmt: skip
PAUSE = Verdict(action="pause", reason="wait", actor="ann")


class App(Recorded):
    """Recorded, with rules."""

    def __init__(self, rules: Mapping[str, Any] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        assert self.installed.processor is not None
        self.processor = self.installed.processor
        if rules is not None:
            self.processor.use_rules({"defaults": False, **rules})

    @property
    def verdicts(self) -> Any:
        return runtime.active().verdicts

    def framework(self, scope: str = "openinference.instrumentation.langchain") -> Any:
        """A tracer of agent instrumentation."""
        return self.provider.get_tracer(scope)

    @property
    def database(self) -> Any:
        return self.provider.get_tracer("opentelemetry.instrumentation.sqlalchemy")


Make = Callable[..., App]


@pytest.fixture
def make() -> Iterator[Make]:
    runtime.forget_warnings()
    yield App
    agentrun.uninstall()
    lifecycle._callbacks.clear()


@pytest.fixture
def app(make: Make) -> App:
    return make()
