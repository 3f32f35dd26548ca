"""An agent as every framework has it: ask the model, call the tools it wants, ask again.

The model is a script, so that every demo does the same; it and the tools answer some twenty times
faster than real ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from opentelemetry.trace import Span, format_span_id, format_trace_id

from collector.demo.spans import AgentTracer, Message, answered, as_json, message, text

MODEL_SECS: Final = 0.03
TOOL_SECS: Final = 0.015
TURNS_MAX: Final = 6
"""Model calls after which an agent gives up."""


class MaxTurnsExceeded(Exception):
    """The model still asked for tools in the agent's last turn."""


@dataclass(slots=True, kw_only=True)
class DemoRun:
    """One run as the agent itself knows it: the collector has to come to the same figures."""

    title: str
    """What the run is an example of."""
    run_id: str
    """The trace id; of a child run `<trace id>-<span id>`."""
    parent_run_id: str | None = None
    agent_name: str
    status: str = "completed"
    model_calls: int = 0
    model_errors: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    retrievals: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def differences(self, run: Mapping[str, Any]) -> str:
        """Where a run document of the collector says something else; "" where it agrees."""
        return ", ".join(
            f"{field.name} is {run.get(field.name)!r}, not {getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name != "title" and run.get(field.name) != getattr(self, field.name)
        )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool as the model asks for it."""

    name: str
    arguments: Mapping[str, Any]
    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of the model: a text, or tools to call."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    input_tokens: int
    cached_tokens: int = 0
    """Of the input tokens."""
    output_tokens: int

    def message(self) -> Message:
        calls = [
            {"type": "tool_call", "id": c.call_id, "name": c.name, "arguments": dict(c.arguments)}
            for c in self.calls
        ]
        spoken = [text(self.text)] if self.text else []
        finish_reason = "tool_call" if self.calls else "stop"
        return message("assistant", *spoken, *calls) | {"finish_reason": finish_reason}


Turn = Reply | Exception
"""What the model does when it is asked: answer, or fail."""
Tool = Callable[..., Any]
"""Takes the arguments of its call; one that returns a `Case` passes it to the specialist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a customer asks, what the model will say to it, and what the tools will do."""

    title: str
    user_id: str
    session_id: str
    question: str
    script: Sequence[Turn]
    tools: Mapping[str, Tool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Answers cases.  `runs` collects what it did, in order of the starts."""

    name: str
    provider: str
    model: str
    prompt: tuple[str, str]
    """Name and version of its instructions."""
    instructions: str
    policies: Sequence[Mapping[str, Any]] = ()
    """Documents that are searched before the first turn; none: no search."""
    specialist: Agent | None = None
    tracer: AgentTracer
    runs: list[DemoRun]

    def answer(self, case: Case, caller: DemoRun | None = None) -> str:
        """The answer to the customer.  Raises MaxTurnsExceeded, and what the model raises."""
        with self.tracer.invoke_agent(
            self.name, user_id=case.user_id, session_id=case.session_id
        ) as span:
            run = DemoRun(
                title=case.title,
                run_id=_run_id(span, caller),
                parent_run_id=caller.run_id if caller else None,
                agent_name=self.name,
            )
            self.runs.append(run)
            try:
                return self._converse(case, run)
            except Exception:
                run.status = "failed"
                raise

    def _converse(self, case: Case, run: DemoRun) -> str:
        messages = [
            message("system", text(self.instructions), *self._search(case.question, run)),
            message("user", text(case.question)),
        ]
        for turn in case.script[:TURNS_MAX]:
            reply = self._ask(messages, turn, run)
            if not reply.calls:
                return reply.text
            messages.append(reply.message())
            for call in reply.calls:
                result = self._call(call, case, run)
                part = {"type": "tool_call_response", "id": call.call_id, "response": result}
                messages.append(message("tool", part))
        raise MaxTurnsExceeded(f"no answer after {TURNS_MAX} turns")

    def _search(self, query: str, run: DemoRun) -> list[Message]:
        """Policies that may matter become part of the instructions."""
        if not self.policies:
            return []
        run.retrievals += 1
        with self.tracer.retrieval("support-policies", query, len(self.policies)) as span:
            time.sleep(TOOL_SECS)
            span.set_attribute("gen_ai.retrieval.documents", as_json(self.policies))
            return [text(policy["snippet"]) for policy in self.policies]

    def _ask(self, messages: Sequence[Message], turn: Turn, run: DemoRun) -> Reply:
        run.model_calls += 1
        with self.tracer.chat(self.provider, self.model, self.prompt, messages) as span:
            time.sleep(MODEL_SECS)
            if isinstance(turn, Exception):
                run.model_errors += 1
                raise turn
            answered(
                span,
                turn.message(),
                model=self.model,
                response_id=f"resp_{format_span_id(span.get_span_context().span_id)}",
                input_tokens=turn.input_tokens,
                cached_tokens=turn.cached_tokens,
                output_tokens=turn.output_tokens,
            )
        run.input_tokens += turn.input_tokens
        run.output_tokens += turn.output_tokens
        return turn

    def _call(self, call: ToolCall, case: Case, run: DemoRun) -> Any:
        """A tool that times out does not end the run: the model is told, and decides."""
        run.tool_calls += 1
        try:
            with self.tracer.execute_tool(call.name, call.call_id, call.arguments) as span:
                time.sleep(TOOL_SECS)
                result = case.tools[call.name](**call.arguments)
                if isinstance(result, Case):
                    assert self.specialist is not None
                    result = self.specialist.answer(result, caller=run)
                span.set_attribute("gen_ai.tool.call.result", as_json(result))
                return result
        except TimeoutError as error:
            run.tool_errors += 1
            return {"error": str(error)}


def _run_id(span: Span, caller: DemoRun | None) -> str:
    context = span.get_span_context()
    trace_id = format_trace_id(context.trace_id)
    return trace_id if caller is None else f"{trace_id}-{format_span_id(context.span_id)}"
