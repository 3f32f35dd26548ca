"""A model call: its answer, tokens, and what a decorated function was given and gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from opentelemetry.trace import SpanKind

from otel_agentrun import semconv
from otel_agentrun.agent_step import AgentStep
from otel_agentrun.messages import as_messages, read_answer

__all__ = ["Model"]


class Model(AgentStep):
    """One inference call."""

    kind = "model"
    prefix = semconv.MODEL_SPAN
    span_kind = SpanKind.CLIENT
    __slots__ = ()

    def response(
        self,
        response: object = None,
        *,
        model: str | None = None,
        response_id: str | None = None,
        finish_reasons: Sequence[str] = (),
    ) -> Self:
        """The answer: a response object of a client (OpenAI, Anthropic, or a mapping of such a
        shape), which also says usage, model and id; or messages; or a text."""
        answer = read_answer(response) if response is not None else None
        if answer is not None:
            self.usage(
                input_tokens=answer.input_tokens,
                output_tokens=answer.output_tokens,
                cache_read_tokens=answer.cache_read_tokens,
                cache_write_tokens=answer.cache_write_tokens,
                reasoning_tokens=answer.reasoning_tokens,
            )
            model = model or answer.model
            response_id = response_id or answer.response_id
            finish_reasons = finish_reasons or answer.finish_reasons
            response = answer.messages
        elif response is not None:
            response = as_messages(response, "assistant")
        if response is not None:
            self._keep(semconv.GEN_AI_OUTPUT_MESSAGES, response)
        return self._say(
            {
                semconv.GEN_AI_RESPONSE_MODEL: model,
                semconv.GEN_AI_RESPONSE_ID: response_id,
                semconv.GEN_AI_RESPONSE_FINISH_REASONS: list(finish_reasons) or None,
            }
        )

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> Self:
        """Tokens.  Input includes cached ones, output includes reasoning."""
        return self._say(
            {
                semconv.GEN_AI_USAGE_INPUT_TOKENS: input_tokens,
                semconv.GEN_AI_USAGE_OUTPUT_TOKENS: output_tokens,
                semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: cache_read_tokens,
                semconv.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: cache_write_tokens,
                semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: reasoning_tokens,
            }
        )

    def first_chunk(self, secs: float) -> Self:
        """Seconds from the request to the first chunk of a streamed answer."""
        return self._say({semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: float(secs)})

    def given(self, arguments: Mapping[str, Any]) -> None:
        """`messages` or `prompt` among the arguments is the input; else all of them."""
        for name in ("messages", "prompt"):
            if name in arguments:
                self._content.setdefault(
                    semconv.GEN_AI_INPUT_MESSAGES, as_messages(arguments[name])
                )
                return
        super().given(arguments)

    def returned(self, value: Any) -> None:
        if value is None or semconv.GEN_AI_OUTPUT_MESSAGES in self._late:
            return
        if isinstance(value, str) or read_answer(value) is not None:
            self.response(value)
        else:
            super().returned(value)
