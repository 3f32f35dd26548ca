"""What directives there are and how far each got: a pure fold over control events.

Any order and any repetition of the same events gives the same state.  Not thread-safe: `Control`
holds the lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from collector.control.directives import Answer, Directive, Scope, answer_of, directive_of
from collector.runs.events import DIRECTIVE, RUN_ENDED
from otel_agentrun import semconv
from otel_agentrun.step import Event

__all__ = ["ControlState", "Known", "RunFacts"]

ANSWERS_MAX: Final = 1000
"""Answers kept of one directive: a wide one may concern any number of runs."""
ENDED_MAX: Final = 100_000
DIRECTIVES_MAX: Final = 100_000
"""Beyond it the oldest are forgotten; the store and the ledger have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What decides whether a directive concerns a run."""

    run_id: str
    agent: str = ""
    workspace: str = ""
    started_ns: int = 0
    """0: not known."""
    above: tuple[str, ...] = ()
    """Ids of the runs above it; who stops those stops it."""


@dataclass(slots=True, kw_only=True)
class Known:
    """One directive and what became of it."""

    directive: Directive
    answers: dict[str, Answer] = field(default_factory=dict)
    """By run id; "" where an answer names none."""

    @property
    def status(self) -> str:
        """requested, acknowledged or failed; one acknowledgment outweighs failures."""
        statuses = {answer.status for answer in self.answers.values()}
        return next((s for s in ("acknowledged", "failed") if s in statuses), "requested")


class ControlState:
    """`remember_ns`: how long a directive without an own expiry is in force."""

    def __init__(self, remember_ns: int) -> None:
        self._remember_ns = remember_ns
        self._known: dict[str, Known] = {}
        self._early: dict[str, list[Answer]] = {}
        """Answers that came before their directive: from another collector."""
        self._ended: dict[str, int] = {}
        self._scoped: dict[tuple[Scope, str], dict[str, Known]] = {}
        """(scope, target) -> its directives by id: what concerns a run is found without a scan."""

    def __len__(self) -> int:
        return len(self._known)

    def add(self, events: Iterable[Event]) -> tuple[list[Directive], list[Answer]]:
        """Take events in; the directives among them that are new, and answers to known ones."""
        new: list[Directive] = []
        answers: list[Answer] = []
        for event in events:
            if event.name == RUN_ENDED:
                run_id = event.run_id or event.attributes.get(semconv.RUN_ID, "")
                if run_id:
                    self._ended[run_id] = event.at_ns
                    _bound(self._ended, ENDED_MAX)
            elif event.name == DIRECTIVE:
                if directive := directive_of(event):
                    if self._put(directive):
                        new.append(directive)
                elif (answer := answer_of(event)) and self._answered(answer):
                    answers.append(answer)
        return new, answers

    def get(self, directive_id: str) -> Known | None:
        return self._known.get(directive_id)

    def all(self) -> list[Known]:
        """Newest first."""
        order = lambda k: (k.directive.at_ns, k.directive.directive_id)  # noqa: E731
        return sorted(self._known.values(), key=order, reverse=True)

    def has_ended(self, run_id: str) -> bool:
        return run_id in self._ended

    def expires_ns(self, directive: Directive) -> int:
        return directive.expires_ns or directive.at_ns + self._remember_ns

    def is_open(self, known: Known, now_ns: int) -> bool:
        """Is it still to be delivered?  A wide one is until it expires: it concerns any number of
        applications, of which some may be out of reach for now."""
        directive = known.directive
        if now_ns >= self.expires_ns(directive):
            return False
        if directive.scope != "run":
            return True
        return known.status == "requested" and directive.target not in self._ended

    def open(self, now_ns: int) -> list[Known]:
        """What is to be delivered, oldest first: a resume comes after the pause it lifts."""
        found = [known for known in self._known.values() if self.is_open(known, now_ns)]
        return sorted(found, key=lambda k: (k.directive.at_ns, k.directive.directive_id))

    def open_for(self, run_id: str, now_ns: int) -> list[Directive]:
        """What is to be delivered to this very run, oldest first."""
        held = self._scoped.get(("run", run_id), {}).values()
        found = [known.directive for known in held if self.is_open(known, now_ns)]
        return sorted(found, key=lambda d: (d.at_ns, d.directive_id))

    def standing(self, run: RunFacts, now_ns: int) -> Directive | None:
        """The kill, else the pause, that a run is under.  `None`: it may go on.

        A verdict ends with its run; a resume or an approval lifts the pauses given before it.
        """
        if run.run_id in self._ended:
            return None
        concerning = [
            known.directive
            for key in self._keys(run)
            for known in self._scoped.get(key, {}).values()
            if now_ns < self.expires_ns(known.directive) and _concerns(known.directive, run)
        ]
        found: Directive | None = None
        for directive in sorted(concerning, key=lambda d: (d.at_ns, d.directive_id)):
            match directive.action:
                case "kill":
                    return directive
                case "pause":
                    found = directive
                case "resume":
                    found = None
                case "approve" if found is not None and found.approval_id == directive.approval_id:
                    found = None
        return found

    def erase(self, run_ids: frozenset[str]) -> None:
        """Let go of everything about these runs."""
        for directive_id in [i for i, k in self._known.items() if k.directive.run_id in run_ids]:
            self._drop(directive_id)
        for known in self._known.values():
            for run_id in known.answers.keys() & run_ids:
                del known.answers[run_id]

    def forget(self, now_ns: int) -> None:
        """Let go of what has expired and of runs that ended long ago."""
        gone = [i for i, k in self._known.items() if now_ns >= self.expires_ns(k.directive)]
        for directive_id in gone:
            self._drop(directive_id)
        oldest = now_ns - self._remember_ns
        for run_id in [run_id for run_id, at_ns in self._ended.items() if at_ns < oldest]:
            del self._ended[run_id]
        for directive_id in [i for i, a in self._early.items() if a[0].at_ns < oldest]:
            del self._early[directive_id]

    # ------------------------------------------------------------------ inside

    def _put(self, directive: Directive) -> bool:
        """Of two events with one id the earlier counts, whichever came first."""
        known = self._known.get(directive.directive_id)
        if known is not None:
            if _rank(directive) < _rank(known.directive):
                self._unindex(known)
                known.directive = directive
                self._index(known)
            return False
        known = self._known[directive.directive_id] = Known(directive=directive)
        self._index(known)
        for answer in self._early.pop(directive.directive_id, ()):
            self._keep(known, answer)
        if len(self._known) > DIRECTIVES_MAX:
            self._drop(next(iter(self._known)))
        return True

    def _answered(self, answer: Answer) -> bool:
        known = self._known.get(answer.directive_id)
        if known is not None:
            return self._keep(known, answer)
        early = self._early.setdefault(answer.directive_id, [])
        if len(early) < ANSWERS_MAX and answer not in early:
            early.append(answer)
        _bound(self._early, DIRECTIVES_MAX)
        return False

    def _keep(self, known: Known, answer: Answer) -> bool:
        """An acknowledgment outweighs a failure, an earlier answer a later one.  True: it is the
        first one for its run."""
        before = known.answers.get(answer.run_id)
        if before is None and len(known.answers) >= ANSWERS_MAX:
            return False
        if before is None or (answer.status, answer.at_ns) < (before.status, before.at_ns):
            known.answers[answer.run_id] = answer
        return before is None

    def _keys(self, run: RunFacts) -> list[tuple[Scope, str]]:
        keys: list[tuple[Scope, str]] = [("run", run_id) for run_id in (run.run_id, *run.above)]
        if run.agent:
            keys.append(("agent", run.agent))
        if run.workspace:
            keys.append(("workspace", run.workspace))
        return [*keys, ("everything", "")]

    def _index(self, known: Known) -> None:
        directive = known.directive
        key = (directive.scope, directive.target)
        self._scoped.setdefault(key, {})[directive.directive_id] = known

    def _unindex(self, known: Known) -> None:
        directive = known.directive
        key = (directive.scope, directive.target)
        held = self._scoped[key]
        del held[directive.directive_id]
        if not held:
            del self._scoped[key]

    def _drop(self, directive_id: str) -> None:
        self._unindex(self._known.pop(directive_id))


def _concerns(directive: Directive, run: RunFacts) -> bool:
    if directive.workspace_limit and directive.workspace_limit != run.workspace:
        return False
    if directive.scope == "run" or not run.started_ns:
        return True
    return run.started_ns < directive.at_ns


def _rank(directive: Directive) -> tuple[int, str]:
    return (directive.at_ns, repr(directive))


def _bound(held: dict[str, Any], most: int) -> None:
    """Forget the oldest entry past `most`."""
    if len(held) > most:
        del held[next(iter(held))]
