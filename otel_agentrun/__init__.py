"""OpenTelemetry for AI agent runs.

    import otel_agentrun as agentrun

    agentrun.install(service_name="support")

    with agentrun.run("support", input=question) as run:
        run.respond(answer(question))

docs/sdk.md has the rest.  Names are imported when they are first used: the collector, and code that
needs the pure modules only, pay for nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from otel_agentrun.carriers import AgentRunPropagator, extract, inject
    from otel_agentrun.content import ContentPolicy
    from otel_agentrun.current import attached
    from otel_agentrun.installation import Installation, install, uninstall
    from otel_agentrun.lifecycle import off, on
    from otel_agentrun.logs import RunLogFilter, RunLogProcessor
    from otel_agentrun.meter import Totals
    from otel_agentrun.processor import AgentRunSpanProcessor
    from otel_agentrun.runs import Run, current_run, run
    from otel_agentrun.sampling import RecordAll
    from otel_agentrun.steps import handoff, model, plan, retrieve, tool, validate
    from otel_agentrun.stopping import NotApprovedError, RunStopped, RunStoppedError, stopped_by
    from otel_agentrun.wrapping import wrap

__all__ = [
    "AgentRunPropagator",
    "AgentRunSpanProcessor",
    "ContentPolicy",
    "Installation",
    "NotApprovedError",
    "RecordAll",
    "Run",
    "RunLogFilter",
    "RunLogProcessor",
    "RunStopped",
    "RunStoppedError",
    "Totals",
    "attached",
    "current_run",
    "extract",
    "handoff",
    "inject",
    "install",
    "model",
    "off",
    "on",
    "plan",
    "retrieve",
    "run",
    "stopped_by",
    "tool",
    "uninstall",
    "validate",
    "wrap",
]

_MODULES: Final = {
    "AgentRunPropagator": "carriers",
    "AgentRunSpanProcessor": "processor",
    "ContentPolicy": "content",
    "Installation": "installation",
    "NotApprovedError": "stopping",
    "RecordAll": "sampling",
    "Run": "runs",
    "RunLogFilter": "logs",
    "RunLogProcessor": "logs",
    "RunStopped": "stopping",
    "RunStoppedError": "stopping",
    "Totals": "meter",
    "attached": "current",
    "current_run": "runs",
    "extract": "carriers",
    "handoff": "steps",
    "inject": "carriers",
    "install": "installation",
    "model": "steps",
    "off": "lifecycle",
    "on": "lifecycle",
    "plan": "steps",
    "retrieve": "steps",
    "run": "runs",
    "stopped_by": "stopping",
    "tool": "steps",
    "uninstall": "installation",
    "validate": "steps",
    "wrap": "wrapping",
}
"""Public name -> the module that has it."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # All at once: later may be too late, while the interpreter shuts down nothing can be imported.
    for public, module in _MODULES.items():
        globals()[public] = getattr(import_module(f"{__name__}.{module}"), public)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
