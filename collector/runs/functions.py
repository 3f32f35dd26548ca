"""Functions of an application that do not say what they are: tools, when a model asked for them.

A decorator without arguments (OpenLIT's `@openlit.trace`) gives tools, agents and helpers the same
span.  What a model of the same trace asked for by name is a tool; the others are listed and not
counted.  A function of the step and of all names that the trace's models asked for, whatever came
first: a step that was a tool in the store is judged again.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from otel_agentrun.dialects.kinds import FUNCTION, OTHER, TOOL
from otel_agentrun.step import Step

__all__ = ["as_asked"]


def as_asked(step: Step, asked: Set[str]) -> Step:
    """A step with the role FUNCTION, as the tool that a model asked for or as nothing of note."""
    assert step.role is FUNCTION
    kind, tool_name = (TOOL, step.name) if step.name in asked else (OTHER, "")
    if step.kind is kind and step.tool_name == tool_name:
        return step
    return replace(step, kind=kind, tool_name=tool_name)
