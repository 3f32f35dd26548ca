"""Tool calls that hand the task to another agent.

Spellings seen: `transfer_to_<agent>` (OpenAI Agents, AutoGen, LangGraph), `transfer_to_agent` with
an argument (Google ADK), `handoff_to_agent` (Strands), `handoff` (LlamaIndex),
`delegate_work_to_coworker` (CrewAI), `delegate_task_to_member`, `delegate_task_to_members` (Agno).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from otel_agentrun import arguments

PREFIXES: Final = ("transfer_to_", "handoff_to_")
BARE: Final = frozenset(
    {
        "transfer_to_agent", "handoff_to_agent", "handoff", "delegate_work_to_coworker",
        "delegate_task_to_member", "delegate_task_to_members", "transfer_task_to_member",
    }
)  # fmt: skip
NOT_WORD: Final = re.compile(r"\W")
TARGET_KEYS: Final = (
    "agent_name", "to_agent", "agent", "target_agent", "coworker", "member_id",
)  # fmt: skip


@lru_cache(maxsize=1024)
def is_handoff(tool_name: str) -> bool:
    return tool_name.startswith(PREFIXES) or tool_name in BARE


def tool_for(agent: str) -> str:
    """What the OpenAI Agents SDK calls the tool that hands over to `agent`."""
    return "transfer_to_" + NOT_WORD.sub("_", agent.lower())


def target(tool_name: str, given: Any) -> str:
    """The agent a handoff tool names; "" when neither its name nor its arguments say."""
    if tool_name not in BARE:
        for prefix in PREFIXES:
            if tool_name.startswith(prefix):
                return tool_name[len(prefix) :]
    value = arguments.parse(given) if isinstance(given, str) else given
    value = arguments.unwrap(value)
    if isinstance(value, Mapping):
        for key in TARGET_KEYS:
            if isinstance(value.get(key), str):
                return str(value[key])
    return value if isinstance(value, str) and len(value) <= 200 else ""
