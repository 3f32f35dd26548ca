"""Client libraries (Anthropic, OpenAI, ...): they see model calls and nothing else.

Source: Arize-ai/openinference, openinference-instrumentation-anthropic 3.1.0 and -openai 0.1.66;
captures tests/captures/anthropic-openinference.  That a tool ran, and how it ended, is in the
request that brings its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_agentrun.dialects import kinds
from otel_agentrun.dialects.told import Told, answered
from otel_agentrun.step import SpanView, Step

PYTHON: Final = (
    "anthropic", "openai", "bedrock", "groq", "mistralai", "litellm", "vertexai", "google_genai",
    "portkey", "instructor",
)  # fmt: skip
JAVASCRIPT: Final = ("anthropic", "openai", "bedrock")
SCOPES: Final = (
    *(f"openinference.instrumentation.{name}" for name in PYTHON),
    *(f"@arizeai/openinference-instrumentation-{name}" for name in JAVASCRIPT),
)
CHECKED: Final = (
    "openinference-instrumentation-anthropic 3.1.0 and openinference-instrumentation-openai 0.1.66"
)
CANNOT_TELL: Final[tuple[str, ...]] = (
    "agents and runs: those are the spans around it",
    "tool calls of their own: they are counted from the results in the next request, when no span "
    "shows them; how long a tool took is unknown",
    "whether a tool failed, where its result does not say so (OpenAI)",
)


def told(span: SpanView, step: Step) -> Sequence[Told]:
    return answered(span.text("input.value")) if step.kind is kinds.MODEL else ()
