"""A small support agent, instrumented with the plain OpenTelemetry SDK: what `agentrun demo` runs.

Read it as a tutorial, in this order: `spans` opens the four spans of the GenAI conventions, `agent`
is the loop that uses them, `cases` is its data.  Nothing of it is ours: this is what any agent
sends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from collector.demo.agent import Agent, DemoRun, MaxTurnsExceeded
from collector.demo.cases import (
    BILLING_INSTRUCTIONS,
    INSTRUCTIONS,
    POLICIES,
    ModelOverloadedError,
    cases,
)
from collector.demo.spans import AgentTracer

__all__ = ["DemoRun", "run_agents"]

SERVICE: Final[Mapping[str, str]] = {
    "service.name": "support-desk",
    "service.version": "2.3.0",
    "deployment.environment.name": "demo",
}
EXPORT_TIMEOUT_SECS: Final = 10


def run_agents(endpoint: str) -> list[DemoRun]:
    """Answer every case and send the spans over OTLP/gRPC to `endpoint` (`host:port`, no TLS).

    Takes about a second and returns when the spans were sent: the runs to be seen, in order of
    their start, child runs after their parents.
    """
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, timeout=EXPORT_TIMEOUT_SECS)
    return answer_all(exporter)


def answer_all(exporter: SpanExporter) -> list[DemoRun]:
    """The same with any exporter.

    An application sets its provider as the global one (`trace.set_tracer_provider`); this one is
    its own, as it shares the process with a collector.
    """
    provider = TracerProvider(resource=Resource(SERVICE), sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    runs: list[DemoRun] = []
    tracer = AgentTracer(provider.get_tracer("support_desk"))
    billing = Agent(
        name="billing_agent",
        provider="anthropic",
        model="claude-sonnet-4-5",
        prompt=("billing", "4"),
        instructions=BILLING_INSTRUCTIONS,
        tracer=tracer,
        runs=runs,
    )
    support = Agent(
        name="support_agent",
        provider="openai",
        model="gpt-4.1-mini",
        prompt=("support", "12"),
        instructions=INSTRUCTIONS,
        policies=POLICIES,
        specialist=billing,
        tracer=tracer,
        runs=runs,
    )
    try:
        for case in cases():
            # The desk stays open: the customer gets an apology, the run is there to be looked at.
            with contextlib.suppress(MaxTurnsExceeded, ModelOverloadedError):
                support.answer(case)
    finally:
        provider.shutdown()
    return runs
