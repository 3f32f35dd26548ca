"""A model that follows a script: no network, and the same in every demo.

It answers in the form of the chat completions API, as a client of a real one would.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

MODEL_SECS: Final = 0.03
"""Some twenty times faster than a real one."""

Message = dict[str, Any]
"""`{"role": ..., "content": ...}`."""
Response = dict[str, Any]


class ModelOverloadedError(Exception):
    """The model's provider had no capacity."""

    status_code = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: a text, or a tool to call."""

    text: str | None = None
    tool: str = ""
    arguments: dict[str, Any] | None = None
    tokens: tuple[int, int, int]
    """Input, cached input (part of it), output."""


Turn = Reply | Exception
"""What the model does when it is asked: answer, or fail."""


def says(text: str, *, tokens: tuple[int, int, int]) -> Reply:
    return Reply(text=text, tokens=tokens)


def asks(tool: str, *, tokens: tuple[int, int, int], **arguments: Any) -> Reply:
    """The model wants a tool to be called."""
    return Reply(tool=tool, arguments=arguments, tokens=tokens)


class ScriptedModel:
    """The client of one model, for one talk."""

    def __init__(self, model: str, script: Iterable[Turn]) -> None:
        self._model = model
        self._turns = iter(script)

    def complete(self, messages: Sequence[Message]) -> Response:
        """The next turn of the script.  Raises what the script says."""
        time.sleep(MODEL_SECS)
        turn = next(self._turns)
        if isinstance(turn, Exception):
            raise turn
        message: Message = {"role": "assistant", "content": turn.text}
        if turn.tool:
            function = {"name": turn.tool, "arguments": json.dumps(turn.arguments)}
            message["tool_calls"] = [{"id": f"call_{len(messages)}", "function": function}]
        sent, cached, written = turn.tokens
        return {
            "id": f"chatcmpl-{uuid4().hex}",
            "model": self._model,
            "choices": [
                {"message": message, "finish_reason": "tool_calls" if turn.tool else "stop"}
            ],
            "usage": {
                "prompt_tokens": sent,
                "completion_tokens": written,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        }
