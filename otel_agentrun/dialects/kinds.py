"""Members of `Kind`, `Role` and `Status` as module constants.

On Python 3.11 `Kind.MODEL` runs a Python function (0.2 µs), and a span asks a dozen times.
"""

from __future__ import annotations

from typing import Final

from otel_agentrun.step import Kind, Role, Status

RUN: Final = Kind.RUN
PLAN: Final = Kind.PLAN
MODEL: Final = Kind.MODEL
TOOL: Final = Kind.TOOL
RETRIEVE: Final = Kind.RETRIEVE
VALIDATE: Final = Kind.VALIDATE
OTHER: Final = Kind.OTHER

NO_ROLE: Final = Role.NONE
AGENT: Final = Role.AGENT
WORKFLOW: Final = Role.WORKFLOW
SDK: Final = Role.SDK
TRANSPORT: Final = Role.TRANSPORT
HANDOFF: Final = Role.HANDOFF
NODE: Final = Role.NODE
FUNCTION: Final = Role.FUNCTION
RESPONSE: Final = Role.RESPONSE
TOLD: Final = Role.TOLD
OPENING: Final = Role.OPENING
CLOSING: Final = Role.CLOSING

SUCCESS: Final = Status.SUCCESS
ERROR: Final = Status.ERROR
TIMEOUT: Final = Status.TIMEOUT
CANCELLED: Final = Status.CANCELLED
SKIPPED: Final = Status.SKIPPED
