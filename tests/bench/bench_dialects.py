"""CPU per span of `dialects.step()`, by kind of span.

    python -m tests.bench.bench_dialects [--seconds 1]

Prints one JSON object: microseconds per span (best of five rounds) for a GenAI model call with 12
attributes (without and with a tool request), a tool call, an agent root, an HTTP span, and the mean
over each capture with the attributes the collector hands over.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

from otel_agentrun import dialects
from otel_agentrun.step import SpanView
from tests.support import captures

RESOURCE = {"service.name": "support", "deployment.environment.name": "prod"}
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.response.model": "gpt-4.1-2025-04-14",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.finish_reasons": '["stop"]',
    "gen_ai.usage.input_tokens": "1350",
    "gen_ai.usage.output_tokens": "49",
    "gen_ai.usage.cache_read.input_tokens": "1024",
    "gen_ai.conversation.id": "conv-1",
    "gen_ai.agent.name": "support_agent",
    "server.address": "api.openai.com",
}
REQUESTED = json.dumps(
    [
        {
            "role": "assistant",
            "parts": [
                {
                    "type": "tool_call",
                    "id": "call_1",
                    "name": "search_orders",
                    "arguments": {"order_id": "A-1001", "limit": 5},
                }
            ],
            "finish_reason": "tool_call",
        }
    ]
)
TOOL = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "search_orders",
    "gen_ai.tool.call.id": "call_1",
    "gen_ai.tool.type": "function",
    "gen_ai.tool.call.arguments": '{"order_id": "A-1001", "limit": 5}',
    "gen_ai.tool.call.result": "Order A-1001: shipped, arrives Tuesday",
    "gen_ai.agent.name": "support_agent",
    "gen_ai.conversation.id": "conv-1",
}
ROOT = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "support_agent",
    "gen_ai.conversation.id": "conv-1",
    "session.id": "session-1",
    "user.id": "user-1",
}
HTTP = {"http.request.method": "POST", "url.full": "https://example.test", "server.port": "443"}


def view(attributes: dict[str, str], kind: str = "Client") -> SpanView:
    return SpanView(
        trace_id="0" * 31 + "1",
        span_id="0" * 15 + "1",
        name="span",
        kind=kind,
        attributes=attributes,
        resource=RESOURCE,
    )


def micros_per_span(views: Sequence[SpanView], seconds: float) -> float:
    """Best of five rounds that share `seconds`; CPU time of this process."""
    best = float("inf")
    for _ in range(5):
        spans, start = 0, time.process_time_ns()
        while (spent := time.process_time_ns() - start) < seconds * 2e8:
            for one in views:
                dialects.step(one)
            spans += len(views)
        best = min(best, spent / 1e3 / spans)
    return round(best, 2)


def handed_over(span: SpanView) -> SpanView:
    """The span with the attributes that the collector would hand over."""
    span.attributes = {k: v for k, v in span.attributes.items() if dialects.is_logic_key(k)}
    return span


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.0, help="per measured case")
    seconds = parser.parse_args().seconds
    cases = {
        "chat": [view(dict(CHAT)) for _ in range(100)],
        "chat_requesting_a_tool": [
            view({**CHAT, "gen_ai.output.messages": REQUESTED}) for _ in range(100)
        ],
        "tool": [view(dict(TOOL), "Internal") for _ in range(100)],
        "agent": [view(dict(ROOT), "Internal") for _ in range(100)],
        "http": [view(dict(HTTP)) for _ in range(100)],
    }
    for source in captures.sources():
        cases[f"capture/{source}"] = [
            handed_over(span) for span in captures.spans(captures.folder(source))
        ]
    found = {name: micros_per_span(views, seconds) for name, views in cases.items()}
    print(json.dumps({"step_us_per_span": found}, indent=2))  # noqa: T201  # the result


if __name__ == "__main__":
    main()
