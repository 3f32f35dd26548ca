"""Verdicts come into force here, before the next piece of work of a run begins.

Two gates ask: the span processor where a span of agent instrumentation starts, and the model-client
guard where a request leaves.  `check` and `check_async` raise `RunStopped`, wait, or do nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from otel_agentrun import current, runtime, semconv
from otel_agentrun.current import RunScope
from otel_agentrun.emitter import usage
from otel_agentrun.stopping import RunStopped, RunStoppedError, stopped_by
from otel_agentrun.stops import STATUS_OF_STOP
from otel_agentrun.verdicts import Answer, Verdict

__all__ = [
    "Pause", "can_wait", "check", "check_async", "decide_pause", "felt", "here", "outside",
    "refuse", "tell",
]  # fmt: skip

Pause = Literal["wait", "kill", "continue"]

_stopping = threading.RLock()
NOWHERE_TO_WAIT: Final = "paused where waiting would block an event loop"


def here(context: Context | None = None) -> RunScope | None:
    """The run that encloses this code: one that was opened, else that of the current span."""
    scope = current.current(context)
    if scope is not None:
        return scope
    return runtime.active().verdicts.around(get_current_span(context).get_span_context().span_id)


def check(scope: RunScope | None) -> None:
    """Raise RunStopped where the run, or one around it, was stopped; wait where it is paused and
    waiting is safe here (see `decide_pause`).

    For code that cannot await.  Without verdicts it costs one attribute read.
    """
    verdicts = runtime.active().verdicts
    while scope is not None and (verdict := verdicts.of(scope)) is not None:
        if verdict.action == "kill":
            raise refuse(scope, verdict)
        decided = decide_pause(verdict)
        if decided == "continue":
            return
        if decided == "kill":
            _kill_instead(scope, verdict, NOWHERE_TO_WAIT)
            continue
        holder = _paused(scope, verdict)
        _woken(holder, verdict, verdicts.wait(scope, verdict))


async def check_async(scope: RunScope | None) -> None:
    """The same for code that can await: a paused run waits here whatever its fallback."""
    verdicts = runtime.active().verdicts
    while scope is not None and (verdict := verdicts.of(scope)) is not None:
        if verdict.action == "kill":
            raise refuse(scope, verdict)
        holder = _paused(scope, verdict)
        _woken(holder, verdict, await verdicts.wait_async(scope, verdict))


def decide_pause(verdict: Verdict) -> Pause:
    """What a pause does to code that cannot await: `wait` where no event loop runs in this thread,
    else the verdict's fallback."""
    return "wait" if can_wait() else verdict.fallback


def can_wait() -> bool:
    """Whether this thread may be blocked: no event loop runs in it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def refuse(scope: RunScope, verdict: Verdict) -> RunStopped:
    """The exception of a kill, to be raised.  Before there is one, the outcome is on the run's open
    spans and its end is told: nothing that a framework does with the exception changes them."""
    verdicts = runtime.active().verdicts
    held = verdicts.holder(scope, verdict) or scope
    with _stopping:
        if held.stopped is None:
            held.stopped = verdict
            try:
                _stop(held, verdict)
            except Exception as trouble:
                runtime.warn_of("stop_not_recorded", trouble)
    error = RunStopped(
        held.run_id, verdict.stop_reason, verdict.reason,
        rule=verdict.rule, span_ids=verdict.span_ids, actor=verdict.actor,
    )  # fmt: skip
    if held.home is not None:
        held.home.raised(held, error)
    return error


def felt(scope: RunScope | None) -> Verdict | None:
    """The kill that a run, or one around it, has come to feel."""
    while scope is not None:
        if scope.stopped is not None:
            return scope.stopped
        scope = scope.parent
    return None


def outside(error: BaseException, run_id: str = "") -> RunStoppedError | None:
    """What leaves the boundary of the run `run_id` (of any with "") instead of `error`; `None`:
    the same.

    A `RunStopped` of another run passes, and so does every `Exception`: it harms nobody.
    """
    if isinstance(error, Exception) or not isinstance(error, RunStopped | BaseExceptionGroup):
        return None
    stop = stopped_by(error)
    if stop is None or (run_id and stop.run_id != run_id):
        return None
    if isinstance(error, BaseExceptionGroup) and error.subgroup(FATAL) is not None:
        return None
    return RunStoppedError(
        stop.run_id, stop.stop_reason, stop.reason,
        rule=stop.rule, span_ids=stop.span_ids, actor=stop.actor,
    )  # fmt: skip


FATAL: Final = (KeyboardInterrupt, SystemExit)


def tell(scope: RunScope, name: str, said: Mapping[str, Any]) -> None:
    """An event of a run, at once where events are sent, else in its span."""
    attributes = {**scope.stamps, semconv.RUN_ID: scope.run_id}
    attributes.update((key, value) for key, value in said.items() if value not in (None, "", ()))
    emitter = runtime.active().emitter
    if emitter is not None and scope.at is not None and scope.at.trace_flags.sampled:
        emitter.emit(name, scope.at, attributes)
    elif emitter is None and scope.at is not None:
        for spans in runtime.active().verdicts.spans():
            spans.tell(scope.at.span_id, name, attributes)


# ---------------------------------------------------------------------- stopping


def _stop(held: RunScope, verdict: Verdict) -> None:
    for spans in runtime.active().verdicts.spans():
        spans.stop(held, verdict)
    if not verdict.directive_id:  # the collector's directives are in its ledger
        tell(
            held,
            semconv.DECISION_EVENT,
            {
                semconv.DECISION_KIND: "stop",
                semconv.DECISION_OUTCOME: "block",
                semconv.DECISION_REASON: verdict.reason,
                semconv.DECISION_RULE: verdict.rule,
                semconv.DECISION_SUBJECT_SPAN_ID: verdict.span_ids[-1] if verdict.span_ids else "",
                semconv.STOP_REASON: verdict.stop_reason,
                semconv.ACTOR: verdict.actor,
                semconv.RULES_VERSION: verdict.rules_version,
            },
        )
    if held.remote or runtime.active().emitter is None:
        return  # its end is told where it was opened, or by its span alone
    tell(
        held,
        semconv.RUN_ENDED_EVENT,
        {
            **usage(held.meter.own(), 0.0),
            semconv.STOP_REASON: verdict.stop_reason,
            semconv.RUN_STATUS: STATUS_OF_STOP[verdict.stop_reason],
            semconv.DECISION_REASON: verdict.reason,
            semconv.DECISION_RULE: verdict.rule,
            semconv.ACTOR: verdict.actor,
            semconv.FINDING_SPAN_IDS: ",".join(verdict.span_ids),
            semconv.DIRECTIVE_ID: verdict.directive_id,
        },
    )


# ---------------------------------------------------------------------- pausing


def _paused(scope: RunScope, verdict: Verdict) -> RunScope:
    """Say that the run waits."""
    held = runtime.active().verdicts.holder(scope, verdict) or scope
    turn(held, "pause", verdict.reason, verdict.actor or verdict.rule)
    return held


def _woken(held: RunScope, verdict: Verdict, answer: Answer) -> None:
    if answer == "expired":
        _kill_instead(held, verdict, "nobody resumed the run in time")
    elif answer == "lifted":
        turn(held, "resume", "", "")


def turn(held: RunScope, hook: Literal["pause", "resume"], reason: str, actor: str) -> None:
    """Say that a run waits, or goes on."""
    if held.handle is not None:
        (held.handle.pause if hook == "pause" else held.handle.resume)(reason, actor=actor)
        return
    name = semconv.RUN_PAUSED_EVENT if hook == "pause" else semconv.RUN_RESUMED_EVENT
    tell(held, name, {semconv.DECISION_REASON: reason, semconv.ACTOR: actor})


def _kill_instead(scope: RunScope, verdict: Verdict, why: str) -> None:
    """A pause that cannot be, or was not lifted in time, becomes a kill."""
    verdicts = runtime.active().verdicts
    reason = f"{verdict.reason}; {why}" if verdict.reason else why
    killed = replace(
        verdict, action="kill", reason=reason, at_ns=time.time_ns(),
        stop_reason=verdict.stop_reason or "approval_expired",
    )  # fmt: skip
    verdicts.decide(verdicts.holder(scope, verdict) or scope, killed)
