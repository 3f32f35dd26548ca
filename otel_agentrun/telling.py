"""What an application tells of a step: attributes, content, decisions, scores, how it ended.

Before a step begins it is noted for the start of its span; later it waits for the end, to be
written in one go.  Events leave at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from opentelemetry.trace import Span

from otel_agentrun import arguments as canonical
from otel_agentrun import runtime, semconv, values
from otel_agentrun.content import OVERLAP_CHARS
from otel_agentrun.current import RunScope
from otel_agentrun.errors import Failure
from otel_agentrun.span_view import raw
from otel_agentrun.step import Status

__all__ = ["Telling"]

EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
ATTRIBUTE_CHARS_MAX: Final = 16_384
DIGESTED_CHARS: Final = 1 << 20
DIGESTED: Final[Mapping[str, tuple[str, Callable[[str], str]]]] = {
    semconv.GEN_AI_TOOL_CALL_ARGUMENTS: (semconv.TOOL_ARGUMENTS_HASH, canonical.digest),
    semconv.GEN_AI_TOOL_CALL_RESULT: (semconv.TOOL_RESULT_HASH, canonical.result_digest),
}
"""Content -> where its digest goes and how that is made, where not all of the content is kept:
loops are recognized by equal arguments and results."""


class Telling:
    """The part of a step that an application talks to."""

    __slots__ = (
        "_attributes", "_begun", "_content", "_failure", "_late", "_scope", "_span", "_target",
    )  # fmt: skip
    _attributes: dict[str, Any]
    """What the span starts with."""
    _begun: bool
    _content: dict[str, Any]
    """Content that is given before the step begins, as it was given."""
    _failure: Failure | None
    _late: dict[str, Any]
    """What is written at the end of the span."""
    _scope: RunScope | None
    _span: Span
    _target: str

    # ------------------------------------------------------------------ what an application says

    @property
    def span(self) -> Span:
        """The span, once the step has begun."""
        return self._span

    @property
    def step_id(self) -> int | None:
        """Number of the step in its run; `None` outside of runs."""
        found = raw(self._span).get(semconv.STEP_ID)
        return found if isinstance(found, int) else None

    def set(self, name: str, value: object) -> Self:
        """An attribute of your own."""
        return self._say({str(name): value} if name else {})

    def summary(self, text: str) -> Self:
        """What the step did, in one sentence."""
        return self._keep(semconv.STEP_SUMMARY, text)

    def input(self, value: object) -> Self:
        return self._keep(semconv.INPUT, value)

    def output(self, value: object) -> Self:
        return self._keep(semconv.OUTPUT, value)

    def cost(self, usd: float) -> Self:
        """What the step cost; it wins over prices that are known of its kind."""
        return self._say({semconv.COST_USD: float(usd)})

    def retried(self, count: int, reason: str = "") -> Self:
        """Retries that happened inside this step, such as those of a client library."""
        return self._say({semconv.RETRY_COUNT: count, semconv.RETRY_REASON: reason})

    def skip(self, reason: str = "") -> Self:
        """The step was not carried out."""
        self._failure = Failure(status=Status.SKIPPED)
        return self._keep(semconv.STEP_SUMMARY, reason) if reason else self

    def fail(self, error_type: str, message: str = "", *, status: Status = Status.ERROR) -> Self:
        """The step failed although no exception leaves it."""
        self._failure = Failure(status=status, error_type=error_type, message=message)
        return self

    def decision(
        self,
        kind: str,
        *,
        chosen: str = "",
        alternatives: Sequence[str] = (),
        outcome: str = "",
        reason: str = "",
        actor: str = "",
        rule: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> Self:
        """What was decided here, and why; an event of the run's decision log.

        `kind` is one of `semconv.DECISION_KIND_VALUES` (`route`, `fallback`, `tool_choice`,
        `branch`, ...), `outcome` one of `DECISION_OUTCOME_VALUES` where it is a verdict.
        """
        said = {
            semconv.DECISION_KIND: kind,
            semconv.DECISION_CHOSEN: chosen,
            semconv.DECISION_ALTERNATIVES: tuple(alternatives) or None,
            semconv.DECISION_OUTCOME: outcome,
            semconv.DECISION_REASON: self._words(semconv.DECISION_REASON, reason),
            semconv.DECISION_RULE: rule,
            semconv.ACTOR: actor,
            **(attributes or {}),
        }
        return self._event(semconv.DECISION_EVENT, said)

    def route(
        self, chosen: str, *, alternatives: Sequence[str] = (), reason: str = "", name: str = ""
    ) -> Self:
        """A model, provider, agent or workflow was chosen; `name` is the configured route's."""
        return self.decision(
            "route",
            chosen=chosen,
            alternatives=alternatives,
            reason=reason,
            attributes={semconv.ROUTE_NAME: name} if name else None,
        )

    def fallback(self, chosen: str, *, instead_of: str, reason: str = "") -> Self:
        """The second choice was taken."""
        return self.decision("fallback", chosen=chosen, alternatives=(instead_of,), reason=reason)

    def branch(self, taken: str, *, alternatives: Sequence[str] = (), reason: str = "") -> Self:
        """A path of the workflow was taken."""
        return self.decision("branch", chosen=taken, alternatives=alternatives, reason=reason)

    def state(
        self, kind: str, *, operation: str = "write", key: str = "", value: object = None
    ) -> Self:
        """Something was written down: memory, scratchpad, plan, counter."""
        said: dict[str, Any] = {
            semconv.STATE_KIND: kind,
            semconv.STATE_OPERATION: operation,
            semconv.STATE_KEY: key,
        }
        if value is not None:
            said[semconv.STATE_VALUE] = self._content_of(semconv.STATE_VALUE, value)
        return self._event(semconv.STATE_EVENT, said)

    def score(
        self, name: str, value: float | None = None, *, label: str = "", explanation: str = ""
    ) -> Self:
        """A quality score, as the GenAI evaluation event."""
        return self._event(
            EVALUATION_EVENT,
            {
                semconv.GEN_AI_EVALUATION_NAME: name,
                semconv.GEN_AI_EVALUATION_SCORE_VALUE: None if value is None else float(value),
                semconv.GEN_AI_EVALUATION_SCORE_LABEL: label,
                semconv.GEN_AI_EVALUATION_EXPLANATION: self._words(
                    semconv.GEN_AI_EVALUATION_EXPLANATION, explanation
                ),
            },
        )

    # ------------------------------------------------------------------ how it is written

    def _event(self, name: str, said: Mapping[str, Any]) -> Self:
        found = {
            key: values.attribute(value, ATTRIBUTE_CHARS_MAX)
            for key, value in said.items()
            if value is not None and not (type(value) is str and not value)
        }
        if self._scope is not None:
            found = {**self._scope.stamps, **found}
        if self.step_id is not None:
            found[semconv.STEP_ID] = self.step_id
        runtime.emit(self._span, name, found)
        return self

    def _say(self, said: Mapping[str, Any]) -> Self:
        """Attributes; what is empty is not said.  Once the step runs they wait for its end, to be
        written in one go."""
        target = self._late if self._begun else self._attributes
        for key, value in said.items():
            kind = type(value)
            if kind is str:
                if value:
                    target[key] = values.cut(value, ATTRIBUTE_CHARS_MAX)
            elif kind is bool or kind is float:
                target[key] = value
            elif value is not None:
                target[key] = values.attribute(value, ATTRIBUTE_CHARS_MAX)
        return self

    def _keep(self, key: str, value: object) -> Self:
        """Content, as the policy wants it; before the step begins it is only noted."""
        if not self._begun:
            self._content[key] = value
        elif value is not None:
            self._write(self._late, key, value)
        return self

    def _write(self, target: dict[str, Any], key: str, value: object) -> str:
        """Put content, as the policy wants it, into `target`; gives the text it was made of."""
        try:
            kept, source, is_all = runtime.active().content.keep(key, value)
            target[key] = kept
            if not is_all and key in DIGESTED:
                name, digest = DIGESTED[key]
                is_whole = len(source) <= OVERLAP_CHARS  # nothing of it was cut off
                target[name] = digest(source if is_whole else values.text(value, DIGESTED_CHARS))
            return source
        except Exception as trouble:
            runtime.warn_of("content_not_recorded", trouble)
            return ""

    def _content_of(self, key: str, value: object) -> str:
        """The same where it belongs elsewhere, such as to an event."""
        kept: dict[str, str] = {}
        self._write(kept, key, value)
        return kept.get(key, "")

    def _words(self, key: str, text: str) -> str:
        """A text as content; "" where none is kept."""
        if not text or runtime.active().content.mode == "off":
            return ""
        return self._content_of(key, text)
