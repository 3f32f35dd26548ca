"""`Operations` on a store: inside a running collector, or on a store that none holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from collector.api.health import Check, failure
from collector.api.orders import ApprovalOperations, ControlOperations
from collector.api.service import Feedback, RunQuery, Selector
from collector.api.values import Document, NotFoundError, RequestError
from collector.dashboards.stats import StatQuery
from collector.errors import ConfigError
from collector.ledger.query import LedgerOperations
from collector.runs.document import event_document
from collector.runs.events import FEEDBACK, make_event
from otel_agentrun import semconv
from otel_agentrun.step import Event


class RunReader(Protocol):
    """What is read from the store."""

    def runs(self, query: RunQuery) -> list[Document]:
        """Run documents, newest first."""

    def run(self, run_id: str, workspace: str = "") -> Document | None:
        """`{run, steps, events}`, also for an id that a later fold replaced."""

    def explain(self, run_id: str, workspace: str = "") -> Document | None:
        """How its spans were read (collector.runs.explain), with `run_id` as for `run`."""

    def stats(self, stat: StatQuery) -> Document:
        """A figure of the dashboards (collector.dashboards.stats)."""


class RulesBench(Protocol):
    """What is done with rules."""

    def rules_in_force(self) -> Document:
        """`{version, file}`."""

    def backtest(self, rules: str, query: RunQuery) -> Document:
        """See `Operations`.  Raises ConfigError with every mistake in the rules."""

    def suggest(self, query: RunQuery, percentile: float, margin: float) -> Document:
        """See `Operations`."""


class Recorder(Protocol):
    """What changes runs: the pipeline, since the fold decides what a run becomes."""

    def record(self, event: Event) -> None:
        """Journal an event of the collector's own and fold it; returns once it is durable.

        Raises RetryableError while nothing more can be taken.
        """

    def erase(self, selector: Selector, *, actor: str) -> Document:
        """Erase the trace groups of the selected runs everywhere, and record who did."""


class LocalOperations:
    """The same documents for the API and for `--store`."""

    def __init__(
        self,
        reader: RunReader,
        recorder: Recorder,
        *,
        rules: RulesBench | None = None,
        control: ControlOperations | None = None,
        approvals: ApprovalOperations | None = None,
        ledger: LedgerOperations | None = None,
        checks: Iterable[tuple[str, Check]] = (),
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._reader = reader
        self._recorder = recorder
        self._rules = rules
        self._control = control
        self._approvals = approvals
        self._ledger = ledger
        self._checks = list(checks)
        self._now_ns = now_ns

    def runs(self, query: RunQuery) -> list[Document]:
        return self._reader.runs(query)

    def run(self, run_id: str, workspace: str = "") -> Document | None:
        return self._reader.run(run_id, workspace)

    def explain(self, run_id: str, workspace: str = "") -> Document | None:
        return self._reader.explain(run_id, workspace)

    def stats(self, stat: StatQuery) -> Document:
        return self._reader.stats(stat)

    def delete(self, selector: Selector, *, actor: str) -> Document:
        return self._recorder.erase(selector, actor=actor)

    def feedback(self, feedback: Feedback, *, actor: str) -> Document:
        """An event that the fold reads: the run gets a new revision, however long ago it ended.

        Raises NotFoundError.
        """
        shown = self._reader.run(feedback.run_id)
        if shown is None:
            raise NotFoundError(
                f"no run {feedback.run_id!r}", "`agentrun runs list` shows those there are."
            )
        run = shown["run"]
        attributes = {
            semconv.FEEDBACK_NAME: feedback.name,
            semconv.FEEDBACK_SCORE: "" if feedback.score is None else f"{feedback.score:.17g}",
            semconv.FEEDBACK_LABEL: feedback.label,
            semconv.FEEDBACK_COMMENT: feedback.comment,
            semconv.ACTOR: actor,
        }
        event = make_event(
            FEEDBACK,
            self._now_ns(),
            trace_id=next(iter(run.get("trace_ids") or ()), ""),
            run_id=run["run_id"],
            attributes={name: value for name, value in attributes.items() if value},
        )
        self._recorder.record(event)
        return event_document(event)

    def rules(self) -> Document:
        return self._bench().rules_in_force()

    def backtest(self, rules: str, query: RunQuery) -> Document:
        try:
            return self._bench().backtest(rules, query)
        except ConfigError as error:
            raise RequestError(str(error), "`agentrun rules check FILE` says the same.") from None

    def suggest(self, query: RunQuery, percentile: float, margin: float) -> Document:
        return self._bench().suggest(query, percentile, margin)

    def _bench(self) -> RulesBench:
        assert self._rules is not None, "operations without rules are for tests of other things"
        return self._rules

    @property
    def control(self) -> ControlOperations:
        assert self._control is not None, "operations without control are for tests of other things"
        return self._control

    @property
    def approvals(self) -> ApprovalOperations:
        assert self._approvals is not None, "as for control"
        return self._approvals

    @property
    def ledger(self) -> LedgerOperations:
        assert self._ledger is not None, "as for control"
        return self._ledger

    def doctor(self) -> list[Document]:
        findings = []
        for name, check in self._checks:
            try:
                findings.append(check().document())
            except Exception as error:  # one broken check must not hide the others
                findings.append(failure(name, error).document())
        return findings
