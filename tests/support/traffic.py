"""Agent runs as export requests, with ids that say which they are and counts that are known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS_PER_RUN = 6
MODEL_CALLS = 3
TOOL_CALLS = 2
INPUT_TOKENS = 100
"""Of each model call."""
STEP_NS = 1_000_000


@dataclass(frozen=True)
class AgentRun:
    """Run number `number`: one agent span, three model calls, two tool calls."""

    number: int
    start_ns: int

    @property
    def trace_id(self) -> str:
        return f"{self.number + 1:032x}"

    def spans(self) -> list[Span]:
        """In the order an exporter sends them: the root ends last."""
        root = self._span(
            0, "invoke_agent", "invoke_agent support", {"gen_ai.agent.name": "support"}
        )
        inner = []
        for at in range(1, SPANS_PER_RUN):
            if at % 2:
                inner.append(
                    self._span(
                        at,
                        "chat",
                        "chat gpt-4o-mini",
                        {
                            "gen_ai.provider.name": "openai",
                            "gen_ai.request.model": "gpt-4o-mini",
                            "gen_ai.usage.input_tokens": INPUT_TOKENS,
                            "gen_ai.usage.output_tokens": 10,
                        },
                    )
                )
            else:
                attributes = {
                    "gen_ai.tool.name": "search",
                    "gen_ai.tool.call.arguments": f'{{"page": {at}}}',
                }
                inner.append(self._span(at, "execute_tool", "execute_tool search", attributes))
        root.end_time_unix_nano = self.start_ns + SPANS_PER_RUN * STEP_NS
        return [*inner, root]

    def _span(self, at: int, operation: str, name: str, attributes: dict[str, object]) -> Span:
        span = Span(
            trace_id=bytes.fromhex(self.trace_id),
            span_id=(self.number * 16 + at + 1).to_bytes(8, "big"),
            parent_span_id=b"" if at == 0 else (self.number * 16 + 1).to_bytes(8, "big"),
            name=name,
            start_time_unix_nano=self.start_ns + at * STEP_NS,
            end_time_unix_nano=self.start_ns + (at + 1) * STEP_NS,
        )
        for key, value in {"gen_ai.operation.name": operation, **attributes}.items():
            target = span.attributes.add(key=key).value
            if isinstance(value, int):
                target.int_value = value
            else:
                target.string_value = str(value)
        return span


def request(spans: list[Span]) -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "traffic"
    resource.scope_spans.add().spans.extend(spans)
    return message.SerializeToString()


def requests(first: int, count: int, *, size: int = 8) -> Iterator[tuple[bytes, list[Span]]]:
    """Requests of `size` spans over `count` runs: most runs are spread over two of them."""
    start_ns = time.time_ns() - 60 * 10**9
    spans = [span for n in range(first, first + count) for span in AgentRun(n, start_ns).spans()]
    for at in range(0, len(spans), size):
        chunk = spans[at : at + size]
        yield request(chunk), chunk


class Sender:
    """Exports over one gRPC channel, as an SDK does."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._call = self._channel.unary_unary(EXPORT)
        self.error = ""
        """Why the last request was not acknowledged."""

    def send(self, body: bytes, timeout: float = 5.0) -> bool:
        """True once acknowledged."""
        try:
            self._call(body, timeout=timeout)
        except grpc.RpcError as error:
            self.error = str(error)
            return False
        return True

    def close(self) -> None:
        self._channel.close()
