"""The scripted model: it calls a tool so many rounds, then answers.  The question says how."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.frameworks.model import completion

__all__ = ["play_of", "scripted"]

SCRIPT = re.compile(
    r"script=(?P<play>\S+) tool=(?P<tool>\w+) rounds=(?P<rounds>\d+) parallel=(?P<parallel>\d+) "
    r"same_from=(?P<same_from>\d+)"
)


def play_of(asked: dict[str, Any]) -> re.Match[str] | None:
    """The script in what a model is asked, wherever the framework has put it."""
    return SCRIPT.search(json.dumps(asked, ensure_ascii=False))


def scripted(asked: dict[str, Any], number: int) -> dict[str, Any]:
    """The completion of a request; without any state, so that runs may overlap."""
    script = play_of(asked)
    assert script is not None, f"no script in {asked}"
    parallel = int(script["parallel"])
    results = [message for message in asked["messages"] if message["role"] == "tool"]
    done = len(results) // parallel
    if done >= int(script["rounds"]):
        return completion(number, content="done")
    words = "again" if done >= int(script["same_from"]) else f"question {done}"
    functions = [tool["function"] for tool in asked.get("tools", ())]
    function = next((each for each in functions if each["name"] == script["tool"]), None)
    if function is None:  # the leader of a team: a member has the tool
        if results:
            return completion(number, content="done")
        function, words, parallel = functions[0], script[0], 1
    name = next(iter(function["parameters"]["properties"]))
    calls = [
        {
            "id": f"call_{number}_{n}",
            "type": "function",
            "function": {"name": function["name"], "arguments": json.dumps({name: words})},
        }
        for n in range(parallel)
    ]
    return completion(number, tool_calls=calls)
