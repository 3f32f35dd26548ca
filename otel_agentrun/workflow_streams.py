"""LlamaIndex: a workflow that was stopped ends its stream of events.

    handler = agent.run(question)
    async for event in handler.stream_events():     # ends with a WorkflowFailedEvent
        ...
    await handler                                   # raises

A step that fails makes that event, but of an `Exception` only.  After RunStopped whoever reads the
events would wait for ever: the workflow's own timeout dies with it.  The guard installs this
(`PLACES` there): what is stopped in LlamaIndex is stopped by it.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from typing import Any

from otel_agentrun import runtime
from otel_agentrun.enforcement import outside

__all__ = ["ending_stream"]


def ending_stream(run_workflow: Callable[..., Any]) -> Callable[..., Any]:
    """`BasicRuntime.run_workflow`, which starts the task of a workflow and returns what its events
    are read from."""

    @functools.wraps(run_workflow)
    def started(self: Any, *args: Any, **kwargs: Any) -> Any:
        adapter = run_workflow(self, *args, **kwargs)
        try:
            queues = adapter._queues
            queues.complete.add_done_callback(functools.partial(_end, queues))
        except Exception as trouble:
            runtime.warn_of("workflow_stream_not_watched", trouble)
        return adapter

    return started


def _end(queues: Any, task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    stopped = outside(error) if error is not None else None
    if stopped is None:
        return
    try:
        failed = sys.modules["workflows.events"].WorkflowFailedEvent
        queues.publish_queue.put_nowait(failed(step_name="", exception=stopped))
    except Exception as trouble:
        runtime.warn_of("workflow_stream_not_ended", trouble)
