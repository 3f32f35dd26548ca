"""The kinds of steps: what an application says of a plan, a model call, a tool call, ..."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self

from opentelemetry.trace import SpanKind

from otel_agentrun import arguments as canonical
from otel_agentrun import runtime, semconv, values
from otel_agentrun.agent_step import AgentStep
from otel_agentrun.messages import as_messages, read_answer
from otel_agentrun.step import Status

__all__ = ["Model", "Plan", "Response", "Retrieve", "Tool", "Validate"]

SNIPPET_CHARS_MAX: Final = 1000
DOCUMENTS_MAX: Final = 200
DIGESTED_CHARS: Final = 1 << 20


class Plan(AgentStep):
    """Planning, routing, choosing a fallback or combining results."""

    kind = "plan"
    prefix = semconv.PLAN_SPAN
    operation = "plan"
    __slots__ = ()

    def generated(self, plan: object) -> Self:
        """The plan as the model wrote it."""
        return self._keep(semconv.PLAN_GENERATED, plan)

    def compiled(self, steps: Iterable[str | Mapping[str, Any]]) -> tuple[str, ...]:
        """The steps that the plan became: names, or mappings with `id` and `name`.

        Returns their ids ("1", "2", ... where none is given): `tool(..., plan_step=ids[0])` is the
        one that carries out the first.
        """
        listed = [dict(each) if isinstance(each, Mapping) else {"name": each} for each in steps]
        for number, each in enumerate(listed, 1):
            each["id"] = str(each.get("id") or number)
        self._keep(semconv.PLAN_STEPS, listed)
        return tuple(each["id"] for each in listed)

    def decide(self, decision: object) -> Self:
        """What was decided, in words or as a value."""
        return self._keep(semconv.PLAN_DECISION, decision)

    def fan_out(self, count: int) -> Self:
        """How many agents or calls are started at once."""
        return self._say({semconv.FAN_OUT_COUNT: int(count)})

    def aggregation(
        self,
        method: str,
        *,
        votes: Mapping[str, float] | None = None,
        chosen: Sequence[object] = (),
        discarded: Sequence[object] = (),
    ) -> Self:
        """How one result was made of several: by which method, from which outputs."""
        self._say({semconv.AGGREGATION_METHOD: method})
        if votes is not None:
            self._keep(semconv.AGGREGATION_VOTES, dict(votes))
        for key, outputs in (
            (semconv.AGGREGATION_CHOSEN, chosen),
            (semconv.AGGREGATION_DISCARDED, discarded),
        ):
            if outputs:
                self._say({key: [self._content_of(key, each) for each in outputs]})
        return self

    def returned(self, value: Any) -> None:
        """A list is the compiled plan, anything else the generated one."""
        if isinstance(value, list | tuple):
            if semconv.PLAN_STEPS not in self._late:
                self.compiled(
                    each if isinstance(each, str | Mapping) else str(each) for each in value
                )
        elif value is not None and semconv.PLAN_GENERATED not in self._late:
            self.generated(value)


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


class Tool(AgentStep):
    """One call of a tool or an external API."""

    kind = "tool"
    prefix = semconv.TOOL_SPAN
    operation = "execute_tool"
    __slots__ = ()

    def result(self, value: object) -> Self:
        """What the tool gave."""
        return self._keep_digested(semconv.GEN_AI_TOOL_CALL_RESULT, value, semconv.TOOL_RESULT_HASH)

    def invalid(self, explanation: str = "") -> Self:
        """The arguments do not fit the tool's schema."""
        self._say({semconv.TOOL_ARGUMENTS_VALID: False})
        if explanation:
            self._keep(semconv.TOOL_ARGUMENTS_ERROR, explanation)
        return self

    def valid(self) -> Self:
        """The arguments were checked against the tool's schema, and fit."""
        return self._say({semconv.TOOL_ARGUMENTS_VALID: True})

    def reply(self, message: object) -> Self:
        """What the other agent of a handoff answered."""
        return self._keep(semconv.HANDOFF_REPLY, message)

    def given(self, arguments: Mapping[str, Any]) -> None:
        self._content.setdefault(semconv.GEN_AI_TOOL_CALL_ARGUMENTS, dict(arguments))

    def returned(self, value: Any) -> None:
        if value is not None and semconv.GEN_AI_TOOL_CALL_RESULT not in self._late:
            self.result(value)

    def _prepare(self) -> None:
        self._attributes.setdefault(semconv.GEN_AI_TOOL_NAME, self._target)
        given = self._content.pop(semconv.GEN_AI_TOOL_CALL_ARGUMENTS, None)
        if given is not None:
            self._keep_digested(
                semconv.GEN_AI_TOOL_CALL_ARGUMENTS, given, semconv.TOOL_ARGUMENTS_HASH
            )

    def _keep_digested(self, key: str, value: object, digest_key: str) -> Self:
        kept, whole = runtime.active().content.keep(key, value)
        self._late[key] = kept
        if not whole:
            # Loops are recognized by equal arguments and results: what is kept cannot tell.
            text = values.text(value, DIGESTED_CHARS)
            digest = canonical.digest if digest_key == semconv.TOOL_ARGUMENTS_HASH else None
            self._late[digest_key] = (digest or canonical.result_digest)(text)
        return self


class Retrieve(AgentStep):
    """Retrieval, reranking, or search in a memory."""

    kind = "retrieve"
    prefix = semconv.RETRIEVE_SPAN
    span_kind = SpanKind.CLIENT
    __slots__ = ()

    def documents(
        self,
        documents: Iterable[object],
        *,
        removed: int | Mapping[str, str] | None = None,
        index_version: str = "",
    ) -> Self:
        """What came back, best first: mappings with `id`, `score`, `reranker_score`, `version`,
        `snippet`; objects with such attributes; or texts.  Only snippets are kept, no documents.

        `removed` is what filters took away: a count, or document id -> reason.
        """
        listed = [_document(each, rank) for rank, each in enumerate(documents, 1)]
        self._keep(semconv.GEN_AI_RETRIEVAL_DOCUMENTS, listed[:DOCUMENTS_MAX])
        self._say(
            {
                semconv.RETRIEVAL_HIT_COUNT: len(listed),
                semconv.INDEX_VERSION: index_version,
            }
        )
        if isinstance(removed, Mapping):
            self._say({semconv.RETRIEVAL_REMOVED_COUNT: len(removed)})
            gone = [{"id": name, "reason": reason} for name, reason in removed.items()]
            return self._keep(semconv.RETRIEVAL_REMOVED, gone)
        return self._say({semconv.RETRIEVAL_REMOVED_COUNT: removed})

    def given(self, arguments: Mapping[str, Any]) -> None:
        """`query` among the arguments, else the first of them."""
        query = arguments.get("query", next(iter(arguments.values()), None))
        if query is not None:
            self._content.setdefault(semconv.GEN_AI_RETRIEVAL_QUERY_TEXT, query)

    def returned(self, value: Any) -> None:
        if semconv.RETRIEVAL_HIT_COUNT in self._late or value is None:
            return
        if isinstance(value, list | tuple):
            self.documents(value)
        else:
            super().returned(value)


class Validate(AgentStep):
    """A schema check, guardrail, policy check or evaluation."""

    kind = "validate"
    prefix = semconv.VALIDATE_SPAN
    __slots__ = ()

    def outcome(
        self,
        outcome: Literal["pass", "fail", "warn"],
        *,
        score: float | None = None,
        label: str = "",
        explanation: str = "",
    ) -> Self:
        """What the check found.  A score or label is also recorded as the run's quality."""
        self._say(
            {
                semconv.VALIDATION_OUTCOME: outcome,
                semconv.VALIDATION_SCORE: None if score is None else float(score),
            }
        )
        if explanation:
            self._keep(semconv.VALIDATION_EXPLANATION, explanation)
        if score is not None or label:
            self.score(self._target, score, label=label, explanation=explanation)
        return self

    def passed(self, **details: Any) -> Self:
        return self.outcome("pass", **details)

    def failed(self, explanation: str = "", **details: Any) -> Self:
        """The check found something.  The step itself did its work: it is not an error."""
        return self.outcome("fail", explanation=explanation, **details)

    def returned(self, value: Any) -> None:
        """`True` is passed, `False` failed."""
        if isinstance(value, bool) and semconv.VALIDATION_OUTCOME not in self._late:
            self.outcome("pass" if value else "fail")
        else:
            super().returned(value)

    def _conclude(self, error: BaseException | None) -> None:
        told = self._failure
        fine = error is None and (told is None or told.status is Status.SUCCESS)
        self._late.setdefault(semconv.VALIDATION_OUTCOME, "pass" if fine else "fail")
        super()._conclude(error)


class Response(AgentStep):
    """The final answer of a run."""

    kind = "other"
    prefix = semconv.OTHER_SPAN
    __slots__ = ()

    def _prepare(self) -> None:
        self._attributes[semconv.STEP_ROLE] = "response"


def _document(value: object, rank: int) -> dict[str, Any]:
    if isinstance(value, str):
        return {"rank": rank, "snippet": values.cut(value, SNIPPET_CHARS_MAX)}
    found: dict[str, Any] = {}
    for name, spellings in DOCUMENT_FIELDS.items():
        for spelling in spellings:
            read = value.get(spelling) if isinstance(value, Mapping) else None
            if read is None and not isinstance(value, Mapping):
                read = getattr(value, spelling, None)
            if read is not None and not callable(read):
                found[name] = read
                break
    if "snippet" in found:
        found["snippet"] = values.cut(str(found["snippet"]), SNIPPET_CHARS_MAX)
    found.setdefault("rank", rank)
    return found


DOCUMENT_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "document_id", "doc_id"),
    "score": ("score", "similarity"),
    "reranker_score": ("reranker_score", "rerank_score"),
    "rank": ("rank",),
    "version": ("version",),
    "snippet": ("snippet", "content", "page_content", "text"),
}
"""Field of the document -> how retrievers spell it, first present wins."""
