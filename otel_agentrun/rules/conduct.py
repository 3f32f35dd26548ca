"""What a run must or must not do, kept up step by step: policies and their violations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from otel_agentrun.rules.globs import Globs
from otel_agentrun.rules.schema import Policy
from otel_agentrun.rules.seen import Seen
from otel_agentrun.step import Kind, Step, ToolRequest

__all__ = ["Conduct", "Ending", "PolicyRule", "Violation"]

MODEL: Final = Kind.MODEL
TOOL: Final = Kind.TOOL
RETRIEVE: Final = Kind.RETRIEVE
VALIDATION_ERROR: Final = "validation_error"
VIOLATIONS_MAX: Final = 100
"""Of one run that are kept; a run that breaks a rule a thousand times is known by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended, and with which span: that of its answer, else its last."""

    completed: bool
    span_id: str = ""
    at_ns: int = 0


class PolicyRule(NamedTuple):
    """A policy, its globs compiled."""

    policy: Policy
    tools: Globs
    models: Globs

    def asks_about(self, tool: str, agent: str, arguments: Mapping[str, object] | None) -> bool:
        """Whether a call of this tool is one the rule is about; by name alone without arguments."""
        if not self.tools.match(tool):
            return False
        when = self.policy.when
        if when is None or arguments is None:
            return True
        return when({"tool_name": tool, "agent_name": agent, "arguments": arguments})


class Violation(NamedTuple):
    """One violation of one policy."""

    rule: str
    subject: str
    amount: int
    """Which of the rule's violations in this run it is, from 1; of `guessing`, the guesses."""
    explanation: str
    spans: tuple[str, ...]
    at_ns: int


class Failing(NamedTuple):
    """Calls of one tool that were refused, with different arguments each time."""

    guesses: int
    digest: str
    first: Seen
    spans: tuple[str, ...]


class Conduct:
    """Fed the steps of one run in order, as a `Trail` is."""

    __slots__ = (
        "_approved", "_by_kind", "_calls", "_counts", "_failed", "_met", "_models", "_refused",
        "_requires", "_watches_failures", "judges_models", "violations",
    )  # fmt: skip

    def __init__(self, rules: Sequence[PolicyRule], approved: Collection[str] = ()) -> None:
        """`approved` has the ids of tool calls, and names of tools, that a person has approved; of
        a call inside a span that tells of the same call, what `around` says."""
        self._approved = approved
        self._by_kind: dict[str, list[PolicyRule]] = {}
        for rule in rules:
            self._by_kind.setdefault(rule.policy.policy, []).append(rule)
        get = self._by_kind.get
        self._calls = [*get("approval", ()), *get("forbidden_tool", ())]
        self._models = get("forbidden_model", ())
        self._requires = get("required_step", ())
        self._watches_failures = bool(get("guessing") or get("unrecovered_error"))
        self.judges_models = bool(self._models or self._calls or self._requires)
        """False: model calls need not be handed to `take`."""
        self.violations: dict[tuple[str, str], Violation] = {}
        """(rule, subject) -> its latest state."""
        self._counts: dict[str, int] = {}
        self._met: set[str] = set()
        self._failed: dict[str, Seen] = {}
        """Tool -> its last call, where that failed."""
        self._refused: dict[str, Failing] = {}

    def copy(self) -> Conduct:
        twin = object.__new__(Conduct)
        for name in Conduct.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.violations, twin._counts = dict(self.violations), dict(self._counts)
        twin._met, twin._failed = set(self._met), dict(self._failed)
        twin._refused = dict(self._refused)
        return twin

    def take(self, seen: Seen) -> None:
        """The next step, by (start time, span id)."""
        step = seen.step
        kind = step.kind
        if kind is MODEL:
            if self._models:
                self._judge_model(step)
            if self._calls and step.tool_requests:
                for request in step.tool_requests:
                    self._judge_request(seen, request)
        elif kind is TOOL or kind is RETRIEVE:
            if self._calls:
                self._judge_call(seen)
            if self._watches_failures and (self._failed or step.failed or self._refused):
                self._judge_failure(seen)
        if self._requires:
            self._note_required(step)

    def at_end(self, ending: Ending) -> list[Violation]:
        """Violations that only the end of a run shows; none of a run that did not complete."""
        if not ending.completed:
            return []
        found = [
            Violation(
                rule.policy.name, "", 1,
                f"the run completed without {_wanted(rule.policy)}",
                (ending.span_id,) if ending.span_id else (), ending.at_ns,
            )
            for rule in self._requires
            if rule.policy.name not in self._met
        ]  # fmt: skip
        for rule in self._by_kind.get("unrecovered_error", ()):
            failed = [(tool, seen) for tool, seen in self._failed.items() if rule.tools.match(tool)]
            for number, (tool, seen) in enumerate(failed, 1):
                step = seen.step
                what = f" ({step.error_type})" if step.error_type else ""
                found.append(
                    Violation(
                        rule.policy.name, tool, number,
                        f"the run completed although the last call of `{tool}` failed{what}",
                        (step.span_id, *([ending.span_id] if ending.span_id else ())),
                        ending.at_ns,
                    )
                )  # fmt: skip
        return found

    # ------------------------------------------------------------------ while it goes on

    def _judge_model(self, step: Step) -> None:
        for rule in self._models:
            if step.model and rule.models.match(step.model):
                self._violated(
                    rule, step.span_id, f"model `{step.model}` is forbidden", (step.span_id,),
                    step.end_ns,
                )  # fmt: skip

    def _judge_request(self, seen: Seen, request: ToolRequest) -> None:
        step = seen.step
        arguments = seen.requested.get(request.call_id) if seen.requested else None
        for rule in self._calls:
            if rule.asks_about(request.name, step.agent_name, arguments):
                subject = request.call_id or f"{step.span_id}/{request.name}"
                self._call(rule, subject, request.name, "was asked for", step)

    def _judge_call(self, seen: Seen) -> None:
        step = seen.step
        name = step.tool_name or step.name
        for rule in self._calls:
            if rule.asks_about(name, step.agent_name, seen.arguments):
                self._call(rule, step.tool_call_id or step.span_id, name, "ran", step)

    def _call(self, rule: PolicyRule, subject: str, tool: str, verb: str, step: Step) -> None:
        if rule.policy.policy == "forbidden_tool":
            text = f"`{tool}` {verb}; it is forbidden"
        elif any(each in self._approved for each in (subject, tool, around(step.span_id, tool))):
            return
        else:
            text = f"`{tool}` {verb}; it needs approval"
            text += "" if verb == "was asked for" else " and none is recorded"
        self._violated(rule, subject, text, (step.span_id,), step.end_ns)

    def _judge_failure(self, seen: Seen) -> None:
        step = seen.step
        name = step.tool_name or step.name
        if not step.failed:
            # Something was found out: what is tried next need not be a guess.
            self._refused.clear()
            self._failed.pop(name, None)
            return
        self._failed[name] = seen
        if step.error_type != VALIDATION_ERROR:
            return
        before = self._refused.get(name)
        if before is None:
            self._refused[name] = Failing(0, step.arguments_digest, seen, (step.span_id,))
            return
        if not step.arguments_digest or before.digest == step.arguments_digest:
            return  # the same again: a loop's business
        spans = (*before.spans, step.span_id)[-16:]
        guesses = before.guesses + 1
        self._refused[name] = Failing(guesses, step.arguments_digest, before.first, spans)
        for rule in self._by_kind.get("guessing", ()):
            if rule.tools.match(name):
                text = (
                    f"`{name}` was refused for its arguments and tried with other values "
                    f"{guesses} {'time' if guesses == 1 else 'times'}, nothing looked up in between"
                )
                key = (rule.policy.name, before.first.step.span_id)
                self.violations[key] = Violation(*key, guesses, text, spans, step.end_ns)

    def _note_required(self, step: Step) -> None:
        for rule in self._requires:
            policy = rule.policy
            if policy.name in self._met or (policy.must == "succeed" and step.failed):
                continue
            by_tool = step.kind in (TOOL, RETRIEVE) and bool(policy.tools)
            if step.kind.value in policy.kinds or (
                by_tool and rule.tools.match(step.tool_name or step.name)
            ):
                self._met.add(policy.name)

    def _violated(
        self, rule: PolicyRule, subject: str, text: str, spans: tuple[str, ...], at_ns: int
    ) -> None:
        name = rule.policy.name
        key = (name, subject)
        known = self.violations.get(key)
        if known is not None:  # asked for, and then run: one violation
            amount = known.amount
            spans = tuple(dict.fromkeys((*known.spans, *spans)))
        elif self._counts.get(name, 0) >= VIOLATIONS_MAX:
            return
        else:
            amount = self._counts[name] = self._counts.get(name, 0) + 1
        self.violations[key] = Violation(name, subject, amount, text, spans, at_ns)


def _wanted(policy: Policy) -> str:
    names = [f"a step of kind {kind}" for kind in policy.kinds]
    names += [f"a call of `{tool}`" for tool in policy.tools]
    return " or ".join(names) + (" that succeeded" if policy.must == "succeed" else "")


def around(span_id: str, tool: str) -> str:
    """A call of this tool right inside a span, as something that is approved."""
    return f"{span_id}/{tool}"
