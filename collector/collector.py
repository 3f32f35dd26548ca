"""One collector without its listeners: journal, pipeline and store, opened and closed together."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from collector import records, settings
from collector.accounting import Accounting
from collector.api.health import Check, Finding, Status, disk_check, probe
from collector.api.service import RunQuery, Selector
from collector.api.updates import Updates
from collector.api.values import Document, format_time
from collector.config import Config
from collector.control.approvals import Approvals
from collector.control.authorize import Authorizer
from collector.control.control import Control
from collector.control.desk import Desk
from collector.control.open_runs import OpenRuns
from collector.control.polling import StorePoll
from collector.control.webhooks import Webhooks
from collector.dashboards import stats
from collector.dashboards.stats import StatQuery
from collector.decoding import DecodePool
from collector.errors import RetryableError, StoreError
from collector.forward.forwarding import Forwarding
from collector.intake import JournalIntake
from collector.journal.entry import Entry
from collector.journal.journal import Journal
from collector.journal.segment import RecordKind
from collector.ledger.chain import Ledger
from collector.ledger.pruning import Pruning
from collector.pipeline import Pipeline
from collector.redaction import load_or_create_key
from collector.rules import bench
from collector.rules.file import RulesFileWatch, ruleset
from collector.rules.shared_budgets import SharedBudgets
from collector.runs.assembler import Assembler, Stored, Unknown
from collector.runs.events import ERASED, make_event
from collector.runs.judge import RulesInForce, run_names
from collector.runs.run import DeadLetter, Run
from collector.store import documents
from collector.store.client import Store
from collector.store.control_events import control_events
from collector.store.drawn import drawn
from collector.store.erase import Eraser, Found
from collector.store.link import StoreLink
from collector.store.reader import Reader
from collector.store.recall import Recall
from collector.store.writer import Flush, Writer, inserts
from otel_agentrun import dialects
from otel_agentrun.redact import Redactor
from otel_agentrun.step import Event

log = logging.getLogger(__name__)

FREE_BYTES_MIN = 512 << 20
RECORD_SECS = 10.0
"""An event of ours is durable within this time, or the caller is told to try again."""
BURY_SECS = 30.0
"""Erasing begins within this time: it has to wait for what is being written."""
FORWARD_DRAIN_SECS = 5.0
"""What has just come in still leaves, when the backends take it."""
ERASED_IDS_MAX = 1000
"""Run ids that the record of an erasure lists; it always has their number."""


class Collector:
    """Use as a context manager; `pipeline.start()` is part of opening."""

    def __init__(self, config: Config, *, decoders: int = 0) -> None:
        """`decoders` is how many processes decode; 0 decodes in this one.

        Raises ConfigError (journal directory, redaction rules), StoreError (an embedded store that
        another process holds).
        """
        self.config = config
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = load_or_create_key(config.data_dir / "redaction.key")
        rules = settings.redaction(config, key)
        mappings = settings.mappings(config)
        dialects.use(mappings)
        pool = DecodePool(
            settings.decode_limits(config), rules, processes=decoders, mappings=mappings
        )
        self._redactor = Redactor(rules)
        self.ledger = Ledger(config.data_dir, alone=self._embedded)
        self.accounting = Accounting()
        self.updates = Updates()
        self._writer_id = random.getrandbits(63)
        self.link = StoreLink(self._open_store, settings.retention(config))
        self._writer: Writer | None = None
        controlling = settings.control(config, shared_store=not self._embedded)
        self.control = Control(
            self.record_now,
            StorePoll(self._control_events, controlling.remember_secs, time.monotonic),
            controlling,
            collector_id=f"{self._writer_id:016x}",
        )
        self.approvals = Approvals(
            self.control, self.record_now, remember_secs=controlling.remember_secs
        )
        self.control.listen(self.approvals.heard)
        self._open_runs = OpenRuns()
        # The journal first: its lock says at once, and by process id, who else is here.
        self.journal = Journal.open(settings.journal(config), self._committed)
        try:
            if self._embedded:  # a server may be down: the pipeline goes on trying
                self.link.get()
            for kind, items in self.journal.recovered.items():
                self.accounting.recovered(records.SIGNAL_OF[kind], items)
            self.intake = JournalIntake(pool, self.journal, self.accounting)
            pricing = settings.pricing(config.prices)
            self.rules = RulesInForce(ruleset(config.rules.file), pricing.model)
            self._rules_file = RulesFileWatch(config.rules.file, self.rules, self.accounting)
            self.assembler = Assembler(settings.assembler(config), pricing, self.rules)
            self.desk = Desk(
                self.control,
                lambda run_id, workspace: self._reader().run(run_id, workspace),
                Authorizer(
                    self.control,
                    self.rules,
                    self._open_runs,
                    self.approvals,
                    self.record_now,
                    failing=lambda: self.pipeline.failure,
                ),
                enabled=config.control.enabled,
            )
            self.forwarding = Forwarding(settings.forward(config))
            self.webhooks = Webhooks(settings.webhooks(config), config.data_dir, self._run_names)
            self.pruning = Pruning(
                self.ledger, self.link.get, days=config.store.retention.ledger_days
            )
            self.pipeline = Pipeline(
                journal=self.journal,
                assembler=self.assembler,
                write=self._write,
                encode=self._encode,
                normalized=self.intake.normalized,
                recall=self._recall,
                accounting=self.accounting,
                settings=settings.pipeline(config),
                dead_letters=self._dead_letters,
                on_runs=self._publish,
                on_connected=self._connected,
                erased=lambda: self.intake.erased,
                of_others=None if self._embedded else self._of_others,
                on_idle=self._rules_file.look,
                on_control=self._control_heard,
                on_flush=self._forward,
                called_for=self.control.called_for,
            )
        except BaseException:
            self.journal.close()
            self.link.close()
            raise
        self.intake.behind = self.pipeline.behind
        self._shared_budgets = SharedBudgets(
            self.rules,
            lambda budget, wanted: drawn(self.link.get(), budget, wanted),
            self.pipeline.call,
            self.pipeline.judge_again,
        )
        self.pipeline.start()
        self._shared_budgets.start()
        self.forwarding.start()
        self.webhooks.start()

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, drain_secs: float = 10.0) -> None:
        """Write what is there, for `drain_secs` at most; the journal keeps the rest."""
        self.approvals.close()
        self.control.close()
        self._shared_budgets.stop()
        self.pipeline.stop(drain_secs)
        self.forwarding.close(min(drain_secs, FORWARD_DRAIN_SECS))
        self.pruning.close()
        self.webhooks.close()
        self.intake.close()
        self.journal.close()
        self.link.close()

    # ------------------------------------------------------------------ what the API does

    def runs(self, query: RunQuery) -> list[Document]:
        """`RunReader` of the API."""
        reader = self._reader()
        return documents.run_documents(reader, reader.runs(query))

    def run(self, run_id: str, workspace: str = "") -> Document | None:
        """`RunReader` of the API."""
        return documents.shown(self._reader(), run_id, workspace)

    def explain(self, run_id: str, workspace: str = "") -> Document | None:
        """`RunReader` of the API."""
        return documents.explained_run(self._reader(), run_id, workspace)

    def stats(self, stat: StatQuery) -> Document:
        """`RunReader` of the API."""
        return stats.answer(self.link.get(), stat)

    def rules_in_force(self) -> Document:
        """`RulesBench` of the API."""
        return bench.in_force(self.rules.ruleset)

    def backtest(self, rules: str, query: RunQuery) -> Document:
        """`RulesBench` of the API.  Raises ConfigError with every mistake in the rules."""
        return bench.backtest_stored(self._reader(), rules, query, self.rules.price)

    def suggest(self, query: RunQuery, percentile: float, margin: float) -> Document:
        """`RulesBench` of the API."""
        return bench.suggest_stored(self._reader(), query, percentile, margin)

    def record(self, event: Event) -> None:
        """Redact and journal an event; returns when it is folded and stored, or after a while.

        Raises RetryableError while the journal takes nothing, StoreError.
        """
        self.record_now(event)
        try:
            self.pipeline.call(self.pipeline.drain).result(RECORD_SECS)
        except TimeoutError:  # it is on disk, and will be stored when the store takes it
            log.warning("event_not_stored_yet", extra={"reason": self.pipeline.failure})

    def record_now(self, event: Event) -> Event:
        """Redact and journal an event; returns it as it was written once it is durable.

        It comes back through the pipeline within milliseconds and is stored with the next flush.
        Raises RetryableError while the journal takes nothing.
        """
        redacted = {
            name: self._redactor.value(text, name) for name, text in event.attributes.items()
        }
        event = replace(event, attributes=redacted)
        appended = self.journal.append(RecordKind.EVENT, records.encode_events([event]), 1)
        try:
            appended.result(RECORD_SECS)
        except TimeoutError:
            raise RetryableError("the journal's disk does not answer", "journal_slow") from None
        return event

    def erase(self, selector: Selector, *, actor: str) -> Document:
        """Erase the trace groups of the selected runs everywhere, and record who did.

        Takes seconds: an embedded store's files are rewritten.  Folding goes on meanwhile, without
        these traces.  Raises StoreError.
        """
        eraser = Eraser(self.link.get())
        buried = self.pipeline.call(lambda: self._bury(eraser, selector))
        try:
            found = buried.result(BURY_SECS)
        except TimeoutError:
            if buried.cancel():  # not begun: nothing was erased, and nothing will be
                raise StoreError(
                    self.pipeline.failure or "the store is busy", "Erase again when it works."
                ) from None
            found = buried.result()
        self._erase_forwarded(found.trace_ids)
        self.webhooks.forget_runs(found.run_ids)
        self.approvals.forget_runs(found.run_ids)
        self.control.forget_runs(found.run_ids)
        erased = eraser.erase(found)
        event = make_event(
            ERASED,
            time.time_ns(),
            attributes={
                "agentrun.actor": actor,
                "agentrun.erased.by": _selected_by(selector),
                "agentrun.erased.runs": str(len(found.run_ids)),
                "agentrun.erased.traces": str(len(found.trace_ids)),
                "agentrun.erased.run_ids": ",".join(sorted(found.run_ids)[:ERASED_IDS_MAX]),
            },
        )
        self._write(Flush(events=[(event, "", "")]))
        return {**erased, "actor": actor, "at": format_time(event.at_ns)}

    def _bury(self, eraser: Eraser, selector: Selector) -> Found:
        """In the fold thread: from here on nothing of these traces is taken, folded or kept."""
        self.pipeline.drain()
        found = eraser.find(selector)
        self.intake.erased |= found.tombstones
        # What was taken meanwhile is dropped on its way through the pipeline.
        self.pipeline.drain()
        self.assembler.erase(found.trace_ids)
        self.journal.drop_released()
        self.journal.drop_quarantined()
        return found

    def _erase_forwarded(self, trace_ids: Collection[str]) -> None:
        """From what still waits to be passed on.  Raises StoreError."""
        try:
            self.forwarding.erase(trace_ids)
        except OSError as error:
            raise StoreError(
                f"what waits to be forwarded cannot be rewritten: {error}",
                "Check the disk and the permissions of the data folder, and erase again.",
            ) from error

    def gauges(self) -> dict[str, Callable[[], float]]:
        """What `/metrics` reads at each scrape."""
        stats = self.journal.stats
        return {
            "agentrun_journal_bytes": lambda: stats().bytes,
            "agentrun_journal_bytes_max": lambda: stats().bytes_max,
            "agentrun_journal_segments": lambda: stats().segments,
            "agentrun_open_runs": lambda: self.pipeline.open_runs,
            "agentrun_open_steps": lambda: self.assembler.steps,
            "agentrun_open_groups": lambda: self.assembler.groups,
        }

    def checks(self) -> dict[str, Check]:
        """What `/readyz` and `agentrun doctor` ask."""

        def journal() -> None:
            failing = self.journal.stats().failing
            if failing:
                raise OSError(failing)

        def pipeline() -> None:
            if self.pipeline.failure:
                raise StoreError(self.pipeline.failure)

        def store() -> None:
            self._writer_for(self.link.get()).canary(time.time_ns())

        return {
            "journal": probe("journal", journal, "writable"),
            "store": probe("store", store, "a canary was written and read back"),
            "pipeline": probe("pipeline", pipeline, "what is acknowledged reaches the store"),
            "disk": disk_check(self.config.data_dir, free_min_bytes=FREE_BYTES_MIN),
            "dialects": self._unrecognized,
            **({"forward": self._forwarded} if self.config.forward else {}),
        }

    def _forwarded(self) -> Finding:
        """A warning at most: what comes in is taken and stored whatever backends do."""
        troubles = self.forwarding.troubles()
        if not troubles:
            message = f"{len(self.config.forward)} backends take what is forwarded"
            return Finding(check="forward", status=Status.OK, message=message)
        return Finding(
            check="forward",
            status=Status.WARN,
            message="; ".join(what for what, _ in troubles),
            hint=" ".join(dict.fromkeys(hint for _, hint in troubles)),
        )

    def _unrecognized(self) -> Finding:
        """Scopes whose spans look like an agent's and that nothing reads."""
        found = self.accounting.snapshot().unrecognized
        if not found:
            message = "no span that looks like an agent's went unread since the start"
            return Finding(check="dialects", status=Status.OK, message=message)
        most = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        scopes = ", ".join(f"{scope or '(no scope)'} ({spans})" for scope, spans in most)
        return Finding(
            check="dialects",
            status=Status.WARN,
            message=f"spans that look like an agent's and that no dialect reads: {scopes}",
            hint="Map them in `mappings:` of the config (docs/dialects.md); they are stored, and "
            "not counted.",
        )

    # ------------------------------------------------------------------ wiring

    @property
    def _embedded(self) -> bool:
        return str(self.config.store.url).startswith("chdb")

    def _open_store(self) -> Store:
        config = self.config.store
        return Store.open(
            str(config.url),
            database=config.database,
            cluster=config.cluster or None,
            timeout_secs=config.insert_timeout_secs,
        )

    def _writer_for(self, store: Store) -> Writer:
        if self._writer is None:
            self._writer = Writer(
                store,
                inline_value_bytes_max=self.config.store.inline_value_bytes_max,
                writer_id=self._writer_id,
                ledger=self.ledger,
            )
        return self._writer

    def _write(self, flush: Flush) -> None:
        self._writer_for(self.link.get()).write(flush)

    def _encode(self, flush: Flush) -> Callable[[], None]:
        rows = inserts(
            flush,
            inline_value_bytes_max=self.config.store.inline_value_bytes_max,
            writer_id=self._writer_id,
        )

        def store() -> None:
            self._writer_for(self.link.get()).insert(rows, flush.events)
            # Before the journal forgets what made them end.
            self.webhooks.ran(flush.runs)

        return store

    def _forward(self, flush: Flush) -> None:
        self.forwarding.take(spans=flush.spans, logs=flush.logs, steps=flush.steps, runs=flush.runs)

    def _committed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.accounting.accepted(records.SIGNAL_OF[entry.kind], entry.items)

    def _dead_letters(self) -> list[DeadLetter]:
        waiting = self.intake.dead_letters
        return [waiting.popleft() for _ in range(len(waiting))]

    def _reader(self) -> Reader:
        return Reader(self.link.get())

    def _recall(self, unknown: Unknown) -> list[Stored]:
        return Recall(self._reader())(unknown)

    def _of_others(self, trace_ids: Collection[str]) -> set[str]:
        return self._reader().traces_of_others(trace_ids, self._writer_id)

    def _connected(self) -> None:
        """In the fold thread, once the store answers: erased traces, and runs that are open."""
        reader = self._reader()
        self.intake.erased |= reader.erased_traces()
        for stored in Recall(reader).open_groups():
            self.assembler.restore(stored, time.time_ns())

    def _control_events(self, since_ns: int, received_secs: int) -> list[Event]:
        return control_events(self.link.get(), since_ns, received_secs)

    def _control_heard(self, events: Sequence[Event]) -> None:
        """In the fold thread, as soon as they are durable."""
        self.control.heard(events)
        self.webhooks.heard(events)

    def _run_names(self, run_id: str) -> dict[str, object] | None:
        run = self._reader().run(run_id)
        return None if run is None else run_names(run) | {"status": run.status}

    def _publish(self, runs: Sequence[Run]) -> None:
        self._open_runs.put(runs)
        if self.updates.wanted:
            self.updates.publish(documents.run_documents(self._reader(), runs))


def _selected_by(selector: Selector) -> str:
    """Which filters chose the runs, without their values: those may name the erased person."""
    names = ("run_ids", "user", "session", "since_ns", "until_ns")
    given = [name.removesuffix("_ns") for name in names if getattr(selector, name)]
    return ",".join(given)
