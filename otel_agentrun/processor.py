"""The span processor: who a span belongs to, what it used, and that it happened.

At the start of every span inside a run, whoever starts it, the span gets the run's ids, labels and
a step id; at its end it is read by the dialects, counted by the run's meter and reported.  Spans
outside of any run are left alone, but for what a request said of them; steps among them are counted
(`unattributed`), and metered as the run that they are (`implicit_runs`).

What was decided about a run comes into force where a span of agent instrumentation starts:
`on_start` raises RunStopped, a BaseException and the only thing it ever raises, or waits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import StatusCode

from otel_agentrun import current, dialects, enforcement, lifecycle, reports, runtime, semconv
from otel_agentrun.agent_scopes import is_agent_work
from otel_agentrun.approvals import demanded
from otel_agentrun.calls import call_of, call_within
from otel_agentrun.content import ContentPolicy
from otel_agentrun.current import RunScope
from otel_agentrun.dialects import kinds
from otel_agentrun.emitter import HEARTBEAT_SECS, Emitter
from otel_agentrun.implicit_runs import ImplicitRuns
from otel_agentrun.open_spans import OpenSpan, OpenSpans
from otel_agentrun.prices import PriceBook
from otel_agentrun.rules.conduct import around
from otel_agentrun.sampling import may_drop
from otel_agentrun.span_view import put, raw, view_of
from otel_agentrun.step import COUNTED, Kind, SpanView, Step

if TYPE_CHECKING:
    from otel_agentrun.local_rules import LocalRules, WatchedRun
    from otel_agentrun.rules import Ruleset

__all__ = ["AgentRunSpanProcessor"]

PLAIN: Final[Mapping[Any, Kind]] = {str(kind): kind for kind in COUNTED if kind is not kinds.MODEL}
"""Steps of our own that have no usage."""
MONEY: Final = frozenset({semconv.COST_USD, semconv.PAYMENT_USD, semconv.REVENUE_USD})
IDS: Final = frozenset({semconv.RUN_ID, semconv.RUN_PARENT_ID, semconv.STEP_ID})


class AgentRunSpanProcessor(SpanProcessor):
    """Add it to a TracerProvider, best before the processors that export:

        provider.add_span_processor(AgentRunSpanProcessor())

    Never raises into the application but RunStopped: what fails inside is logged once per kind of
    failure.
    """

    def __init__(
        self,
        *,
        prices: PriceBook | None = None,
        logger_provider: LoggerProvider | None = None,
        content: ContentPolicy | None = None,
        heartbeat_secs: float = HEARTBEAT_SECS,
        rules: str | Path | Mapping[str, Any] | Ruleset | None = None,
    ) -> None:
        """Events of live runs (start, steps, heartbeats, end) leave through `logger_provider`,
        an SDK one; without it there are none, and runs appear once their spans have ended.

        `rules` act in this process: a file of them or what it holds, see `rules_source.load`, which
        says what is raised for bad ones.
        """
        self._prices = prices or PriceBook()
        self._open = OpenSpans()
        self._implicit = ImplicitRuns()
        self._rules: LocalRules | None = None
        if rules is not None:
            self.use_rules(rules)
        self.unattributed = 0
        """Agents, model and tool calls, ... that ended outside of any run: where a run was meant to
        be around them, a thread did not get the context (see `wrap`)."""
        self._looked_at_sampler = False
        self._emitter: Emitter | None = None
        if logger_provider is not None:
            self._emitter = Emitter(logger_provider, heartbeat_secs=heartbeat_secs)
        changes: dict[str, Any] = {"emitter": self._emitter, "has_processor": True}
        if content is not None:
            changes["content"] = content
        self._verdicts = runtime.change(**changes).verdicts
        self._verdicts.join(self._open)

    def use_rules(self, rules: str | Path | Mapping[str, Any] | Ruleset | None) -> None:
        """Other rules, or none, for the runs that begin from now on."""
        if rules is None:
            self._rules = None
            return
        from otel_agentrun.local_rules import LocalRules
        from otel_agentrun.rules_source import load

        self._rules = LocalRules(load(rules), self._prices.cost_nano_usd)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        try:
            if not self._looked_at_sampler:
                self._look_at_sampler(span)
            scope = self._scope(span, parent_context)
            if scope is None:
                scope = self._begin_implicit(span)
            if scope is not None:
                if scope.at is None:  # a run of another process
                    scope.at = span.get_span_context()
                    self._verdicts.opened(scope, span.start_time or 0)
                if self._verdicts.active or scope.watched is not None or self._rules is not None:
                    self._admit(span, scope, parent_context)
                if not scope.implicit:
                    self._stamp(span, scope, parent_context)
                    return
                self._join(span, scope)
            if labels := current.labels(parent_context):
                stated = raw(span)
                put(span, {k: v for k, v in labels.items() if k not in stated})
        except Exception as error:
            runtime.warn_of("span_start_not_recorded", error)

    def on_end(self, span: ReadableSpan) -> None:
        try:
            context = span.context
            found = self._open.pop(context.span_id, None) if context is not None else None
            kind: Kind | None = None
            if found is not None:
                found.restore(span)
                kind = self._ended(span, found)
            elif span.attributes:
                self._outside(span)
            if self._implicit and (scope := self._implicit.end(span, kind)) is not None:
                self._run_ended(span, scope)
        except Exception as error:
            runtime.warn_of("span_end_not_recorded", error)

    def shutdown(self) -> None:
        if self._emitter is not None:
            self._emitter.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._emitter is None or self._emitter.flush(timeout_millis / 1000)

    # ------------------------------------------------------------------ start

    def _scope(self, span: Span, parent_context: Context | None) -> RunScope | None:
        """The run of a span: by the context, else by its parent (a thread without the context may
        still know the span above)."""
        scope = cast("RunScope | None", otel_context.get_value(current.KEY, parent_context))
        parent = span.parent
        if scope is None and parent is not None:
            above = self._open.get(parent.span_id)
            scope = above.scope if above is not None else None
        if scope is not None and not scope.run_id and raw(span).get(semconv.STEP_KIND) == "run":
            scope.bind(span.get_span_context(), is_root=parent is None)
        while scope is not None and (scope.ended or not scope.run_id):
            scope = scope.parent
        return scope

    def _stamp(self, span: Span, scope: RunScope, parent_context: Context | None) -> None:
        stated = raw(span)
        said_kind = stated.get(semconv.STEP_KIND)
        if semconv.STEP_ID in stated and stated.get(semconv.RUN_ID) == scope.run_id:
            runtime.warn_once(TWICE)  # counted by the other one
            return
        step_id = scope.next_step_id()
        stamps = {**scope.stamps, semconv.STEP_ID: step_id}
        if not stamps.keys().isdisjoint(stated):
            # What an emitter says of one span is more exact; ids are ours alone.
            stamps = {k: v for k, v in stamps.items() if k in IDS or k not in stated}
        put(span, stamps)
        is_root = said_kind == "run"
        found = self._add(span, scope, step_id, is_root=is_root)
        if scope.watched is not None and said_kind == "tool":
            known = call_within(parent_context)
            found.arguments = known[0].arguments if known is not None else None
        if is_root:
            self._verdicts.opened(scope, span.start_time or 0)
        if self._emitter is not None and said_kind is not None and is_sampled(span):
            # Of others' spans it is not known yet what they are.
            reports.started(self._emitter, span, scope, is_root=is_root)

    def _add(self, span: Span, scope: RunScope, step_id: int, *, is_root: bool) -> OpenSpan:
        parent = span.parent
        found = OpenSpan(scope, span, parent.span_id if parent is not None else 0, step_id, is_root)
        self._open.add(span.get_span_context().span_id, found)
        return found

    def _begin_implicit(self, span: Span) -> RunScope | None:
        if getattr(span, IMPLICIT_BY, self) is not self:
            runtime.warn_once(TWICE)
            return None
        scope = self._implicit.begin(span)
        if scope is not None and scope.at == span.get_span_context():
            self._verdicts.opened(scope, span.start_time or 0)
            if self._emitter is not None and self._emitter.stream is not None:
                self._emitter.start()
        return scope

    def _join(self, span: Span, scope: RunScope) -> None:
        """A span of an implicit run: nothing is stamped on it."""
        setattr(span, IMPLICIT_BY, self)
        self._add(span, scope, 0, is_root=False)

    # ------------------------------------------------------------------ what was decided

    def _admit(self, span: Span, scope: RunScope, context: Context | None) -> None:
        """Raise RunStopped, or wait, where the span is an agent's work and its run's verdict or
        rules say so."""
        stated = raw(span)
        is_root = stated.get(semconv.STEP_KIND) == "run"
        if self._rules is not None and scope.watched is None and not is_root:
            scope.watched = self._rules.watch(scope, span)
        maker = span.instrumentation_scope
        if not is_agent_work(maker.name if maker is not None else "", stated):
            return
        judge = scope.parent if is_root else scope
        watched: WatchedRun | None = judge.watched if judge is not None else None
        if watched is not None:
            watched.before(stated, time.time_ns())
            if watched.gate and not is_root:
                self._ask(span, watched, stated, context)
        if self._verdicts.active:
            enforcement.check(scope)
        if is_root and self._rules is not None and scope.watched is None:
            scope.watched = self._rules.watch(scope, span)

    def _ask(
        self, span: Span, watched: WatchedRun, stated: Mapping[str, Any], context: Context | None
    ) -> None:
        """Whether a call may begin, of the policies about it."""
        own_kind = stated.get(semconv.STEP_KIND)
        known = call_within(context) if own_kind == "tool" else None
        call, judged = known or (call_of(stated, span.name), "")
        if own_kind not in (None, "tool"):
            return
        span_id = f"{span.get_span_context().span_id:016x}"
        above = f"{span.parent.span_id:016x}" if span.parent is not None else ""
        if not judged and watched.gate.approved.get(above) == call.name:
            judged = "approved"  # the same call, told of twice
        if not judged:
            demand = watched.demand(call)
            if demand is None:
                return
            if not enforcement.can_wait():
                watched.unasked(demand)
                return
            demanded(watched, demand).wait()
            judged = "approved"
        if judged == "approved":
            watched.gate.approved[span_id] = call.name
            # A framework's span around it, that tells of the same call once it is over.
            watched.gate.approved[around(above, call.name)] = call.name
            if call.call_id:
                watched.gate.approved[call.call_id] = call.name

    # ------------------------------------------------------------------ end

    def _ended(self, span: ReadableSpan, found: OpenSpan) -> Kind:
        scope = found.scope
        said = raw(span)
        if semconv.RUN_ID not in said and not scope.implicit:
            _restore(span, {**scope.stamps, semconv.STEP_ID: found.step_id})
        kind = PLAIN.get(said.get(semconv.STEP_KIND, ""))
        step: Step | None = None
        view: SpanView | None = None
        watched = scope.watched
        if kind is None or watched or not MONEY.isdisjoint(said) or lifecycle.has("step"):
            step, view = self._read(span, said, scope)
            kind = step.kind if step is not None else kinds.OTHER
        is_new = self._open.is_new(found, kind, step)
        if step is not None:
            if is_new:
                cost = self._cost_nano_usd(step)
                scope.meter.count(
                    kind, failed=step.failed, is_retry=step.attempt > 1,
                    cost_nano_usd=cost, usage=step.usage,
                    response_id=step.response_id, revenue_nano_usd=step.revenue_nano_usd,
                )  # fmt: skip
                scope.note(kind, step.failed)
                if watched is not None and (
                    kind in COUNTED
                    or (kind is kinds.RUN and step.role is kinds.AGENT and not found.is_root)
                ):
                    watched.after(step, cost, view, found.arguments)
            if scope.handle is not None and lifecycle.has("step"):
                lifecycle.fire("step", scope.handle, step)
        elif kind is not kinds.OTHER:
            # A step of our own without usage: its attributes say all there is to count.
            price = None
            if kind is kinds.TOOL:
                price = self._prices.tool_cost_nano_usd(said.get(semconv.GEN_AI_TOOL_NAME, ""))
            failed = span.status.status_code is StatusCode.ERROR
            is_retry = semconv.RETRY_ATTEMPT in said
            scope.meter.count(kind, failed=failed, is_retry=is_retry, cost_nano_usd=price)
            scope.note(kind, failed)
        if found.is_root:
            self._run_ended(span, scope)
        elif scope.implicit and (kind in COUNTED or kind is kinds.RUN):
            self._unattributed()
        # Of an implicit run only the collector that can stop it hears, ahead of its spans.
        emitter = self._emitter
        if emitter is None or (scope.implicit and emitter.stream is None):
            return kind
        if is_sampled(span):
            if found.is_root:
                reports.run_ended(emitter, span, scope)
            elif (kind in COUNTED and is_new) or semconv.STEP_KIND in said:
                # A call that two spans tell of is reported once: the collector joins them only
                # when it has the spans.
                reports.step_ended(emitter, span, scope, step)
        return kind

    def _run_ended(self, span: ReadableSpan, scope: RunScope) -> None:
        """A run ended, and what was decided about it with it."""
        scope.ended = True
        watched = scope.watched
        if watched is not None:
            said = raw(span)
            completed = said.get(semconv.RUN_STATUS) == "completed" or (
                scope.implicit
                and scope.stopped is None
                and span.status.status_code is not StatusCode.ERROR
            )
            at = span.context
            watched.ended(completed, f"{at.span_id:016x}" if at else "", span.end_time or 0)
        self._verdicts.ended(scope)

    def _read(
        self, span: ReadableSpan, said: Mapping[str, Any], scope: RunScope
    ) -> tuple[Step | None, SpanView | None]:
        """None of both for spans that are nobody's step, unless somebody wants to hear of those
        too."""
        stamps = scope.stamps  # said already, and the same for each span
        view = view_of(span, {k: v for k, v in said.items() if k not in stamps})
        if dialects.dialect_of(view) is dialects.UNRECOGNIZED and not lifecycle.has("step"):
            return None, None
        return dialects.step(view), view

    def _outside(self, span: ReadableSpan) -> None:
        said = raw(span)
        if semconv.RUN_ID in said:
            return
        view = view_of(span, said)
        if dialects.dialect_of(view) is dialects.UNRECOGNIZED:
            return
        kind = dialects.step(view).kind
        if kind not in COUNTED and kind is not kinds.RUN:
            return
        self._unattributed()

    def _unattributed(self) -> None:
        self.unattributed += 1
        if any(found.is_root for found in list(self._open.values())):
            runtime.warn_once(UNATTRIBUTED)

    def _cost_nano_usd(self, step: Step) -> int | None:
        if step.cost_nano_usd is not None:
            return step.cost_nano_usd
        if step.kind is Kind.MODEL:
            if step.usage is None:
                return None
            return self._prices.cost_nano_usd(step.usage, step.provider, step.model, step.start_ns)[
                0
            ]
        if step.kind is Kind.TOOL:
            return self._prices.tool_cost_nano_usd(step.tool_name)
        return None

    # ------------------------------------------------------------------ trouble

    def _look_at_sampler(self, span: Span) -> None:
        self._looked_at_sampler = True
        sampler: Sampler | None = getattr(span, "_sampler", None)
        if sampler is not None and may_drop(sampler):
            runtime.warn_once(runtime.UNSAMPLED)


IMPLICIT_BY: Final = "_agentrun_implicit_by"
"""On a span of an implicit run: its processor.  Nothing that is exported shows it."""
TWICE: Final = (
    "This TracerProvider has two AgentRunSpanProcessors; the first one counts.  install() adds one "
    "by itself."
)
UNATTRIBUTED: Final = (
    "A model call, tool call or agent ended outside of any run while a run was open: did it happen "
    "in a thread pool?  Those do not take the context along: submit otel_agentrun.wrap(function), "
    "or install opentelemetry-instrumentation-threading.  Every such step is counted in "
    "AgentRunSpanProcessor.unattributed."
)


def is_sampled(span: ReadableSpan) -> bool:
    return span.context is not None and span.context.trace_flags.sampled


def _restore(span: ReadableSpan, stamps: dict[str, Any]) -> None:
    """Put back stamps that a full span has pushed out (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, 128 by
    default, drops the oldest).  This copy of the span is what all processors after us see."""
    span._attributes = {**stamps, **(span.attributes or {})}


def current_step_id(context: Context | None = None) -> int | None:
    """The step id of the innermost span; `None` outside of runs."""
    attributes: Any = getattr(trace.get_current_span(context), "attributes", None)
    found = attributes.get(semconv.STEP_ID) if attributes else None
    return found if isinstance(found, int) else None
