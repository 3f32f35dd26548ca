"""An agent as every framework has it: ask the model, call the tools it wants, ask again.

With a framework, its own instrumentation records the steps, and `agentrun.run` around it is all
that is left to write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import otel_agentrun as agentrun
from collector.demo.basics import search_policies
from collector.demo.scripted_model import Message, ScriptedModel, Turn
from collector.demo.shop import Tool

TURNS_MAX: Final = 6
"""Model calls after which an agent gives up."""


class MaxTurnsExceeded(Exception):
    """The model had no answer in the agent's last turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a customer asks, and what the model will say to it."""

    title: str
    question: str
    user: str
    session: str
    prompt_version: str
    script: Sequence[Turn]
    passed_on: Case | None = None
    """The same for the colleague that the agent hands over to."""


@agentrun.validate(check="guardrail")
def promises_no_date(answer: str) -> bool:
    """A check that gives True has passed."""
    return "tomorrow" not in answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Answers cases."""

    name: str
    provider: str
    model: str
    prompt: str
    """Name of its instructions."""
    instructions: Mapping[str, str]
    """Version -> text."""
    tools: Mapping[str, Tool]
    colleagues: Mapping[str, Agent] = field(default_factory=dict)
    """Tool by which the model hands over -> who takes it."""

    def answer(self, case: Case) -> str:
        """The answer to the customer.  Raises MaxTurnsExceeded, and what the model raises.

        Inside of another agent's run this one is its child.
        """
        with agentrun.run(
            self.name,
            input=case.question,
            user=case.user,
            session=case.session,
            # A chat with a customer is a conversation; where there is none, leave this out.
            conversation=case.session,
            summary=case.title,
        ) as run:
            answer = self._converse(case)
            run.respond(answer)
            return answer

    def _converse(self, case: Case) -> str:
        client = ScriptedModel(self.model, case.script)
        known = [policy["snippet"] for policy in search_policies(case.question)]
        system = "\n".join([self.instructions[case.prompt_version], *known])
        messages: list[Message] = [{"role": "user", "content": case.question}]
        for _ in range(TURNS_MAX):
            with agentrun.model(
                self.model,
                provider=self.provider,
                system=system,
                messages=messages,
                temperature=0.2,
                prompt_name=self.prompt,
                prompt_version=case.prompt_version,
            ) as call:
                response = client.complete(messages)
                call.response(response)
            message = response["choices"][0]["message"]
            messages.append(message)
            if calls := message.get("tool_calls"):
                messages += [self._call(call, case) for call in calls]
            elif promises_no_date(message["content"]):
                return str(message["content"])
            else:
                messages.append({"role": "user", "content": "Say that without a date."})
        raise MaxTurnsExceeded(f"no answer after {TURNS_MAX} turns")

    def _call(self, call: Mapping[str, Any], case: Case) -> Message:
        """What the tool gave.  One that times out does not end the run: the model is told, and
        when it asks for the same again, that call is recorded as a retry."""
        name = call["function"]["name"]
        arguments = json.loads(call["function"]["arguments"])
        result: object
        try:
            if name in self.colleagues:
                result = self._hand_over(self.colleagues[name], arguments["reason"], case)
            else:
                with agentrun.tool(name, call_id=call["id"], arguments=arguments) as step:
                    result = self.tools[name](**arguments)
                    step.result(result)
        except TimeoutError as error:
            result = {"error": str(error)}
        return {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)}

    def _hand_over(self, colleague: Agent, reason: str, case: Case) -> str:
        """The colleague's run is a child of this one, below the handoff."""
        assert case.passed_on is not None
        with agentrun.handoff(colleague.name, reason=reason, message=case.question) as step:
            reply = colleague.answer(case.passed_on)
            step.reply(reply)
            return reply
