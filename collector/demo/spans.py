"""The four spans of an agent under the OpenTelemetry GenAI conventions, opened with the plain SDK.

Source: open-telemetry/semantic-conventions-genai, model/gen-ai/spans.yaml.  What is known when a
span starts is given when it starts: samplers and span processors see it then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

Message = dict[str, Any]
"""`{"role": ..., "parts": [...]}` as the conventions shape it."""


class AgentTracer:
    """Context managers around one invocation of an agent, a model, a tool and a search."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def invoke_agent(
        self, agent: str, *, user_id: str, session_id: str
    ) -> AbstractContextManager[Span]:
        """The run: everything the agent does lies inside this span."""
        return self._span(
            f"invoke_agent {agent}",
            SpanKind.INTERNAL,
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": agent,
                "user.id": user_id,
                "session.id": session_id,
                # A chat with a customer is a conversation; where there is none, leave this out.
                "gen_ai.conversation.id": session_id,
            },
        )

    def chat(
        self, provider: str, model: str, prompt: tuple[str, str], messages: Sequence[Message]
    ) -> AbstractContextManager[Span]:
        """One model call, completed by `answered`; `prompt`: name and version of the template."""
        return self._span(
            f"chat {model}",
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.request.temperature": 0.2,
                "gen_ai.prompt.name": prompt[0],
                "gen_ai.prompt.version": prompt[1],
                "gen_ai.input.messages": as_json(messages),
            },
        )

    def execute_tool(
        self, name: str, call_id: str, arguments: Mapping[str, Any]
    ) -> AbstractContextManager[Span]:
        """One tool call; what it returned is set as `gen_ai.tool.call.result`."""
        return self._span(
            f"execute_tool {name}",
            SpanKind.INTERNAL,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.type": "function",
                "gen_ai.tool.call.id": call_id,
                "gen_ai.tool.call.arguments": as_json(arguments),
            },
        )

    def retrieval(self, data_source: str, query: str, top_k: int) -> AbstractContextManager[Span]:
        """One search; what it found is set as `gen_ai.retrieval.documents`."""
        return self._span(
            f"retrieval {data_source}",
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": "retrieval",
                "gen_ai.data_source.id": data_source,
                "gen_ai.retrieval.query.text": query,
                "gen_ai.retrieval.top_k": top_k,
            },
        )

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, AttributeValue]
    ) -> Iterator[Span]:
        """The SDK records an exception and sets ERROR; the conventions want its type as well."""
        with self._tracer.start_as_current_span(name, kind=kind, attributes=attributes) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__qualname__)
                raise


def answered(
    span: Span,
    answer: Message,
    *,
    model: str,
    response_id: str,
    input_tokens: int,
    cached_tokens: int,
    output_tokens: int,
) -> None:
    """What a model's answer adds to its span.  Input tokens include cached ones."""
    span.set_attributes(
        {
            "gen_ai.response.id": response_id,
            "gen_ai.response.model": model,
            "gen_ai.response.finish_reasons": [answer["finish_reason"]],
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.cache_read.input_tokens": cached_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
            "gen_ai.output.messages": as_json([answer]),
        }
    )


def as_json(value: object) -> str:
    """Attribute values of the SDK are flat, so that structures travel as JSON."""
    return json.dumps(value, ensure_ascii=False)


def text(content: str) -> Message:
    """A text part of a message."""
    return {"type": "text", "content": content}


def message(role: str, *parts: Message) -> Message:
    return {"role": role, "parts": list(parts)}
