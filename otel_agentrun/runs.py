"""`run()`: one bounded execution of a task.

    with agentrun.run("support", input=question, user=user_id) as run:
        answer = agent(question)
        run.respond(answer)

A run inside a run is its child.  (The module is not called `run`: as an attribute of the package
that name is the function.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, overload

from opentelemetry.context import Context

from otel_agentrun import current, semconv
from otel_agentrun.functions import is_function
from otel_agentrun.run_step import Run, label

__all__ = ["Run", "current_run", "run"]

F = TypeVar("F", bound=Callable[..., Any])


@overload
def run(name: F, /) -> F: ...
@overload
def run(
    name: str = "", /, *, input: object = None, workflow: str = "", description: str = "",
    agent_id: str = "", agent_role: str = "", agent_type: str = "", agent_version: str = "",
    task_type: str = "", trigger: str = "", execution: Literal["", "sync", "async"] = "",
    session: str = "", session_name: str = "", session_path: str = "", conversation: str = "",
    user: str = "", request_id: str = "", workspace: str = "", department: str = "",
    virtual_key: str = "", policy_version: str = "", tool_contract_version: str = "",
    route_config_version: str = "", index_version: str = "", output_type: str = "",
    result_ref: str = "", out_of_scope: bool | None = None,
    feature_flags: Mapping[str, object] | None = None, tags: Mapping[str, object] | None = None,
    summary: str = "", attributes: Mapping[str, Any] | None = None,
    context: Context | None = None,
) -> Run: ...  # fmt: skip
def run(
    name: Any = "", /, *, input: object = None, workflow: str = "", description: str = "",
    agent_id: str = "", agent_role: str = "", agent_type: str = "", agent_version: str = "",
    task_type: str = "", trigger: str = "", execution: Literal["", "sync", "async"] = "",
    session: str = "", session_name: str = "", session_path: str = "", conversation: str = "",
    user: str = "", request_id: str = "", workspace: str = "", department: str = "",
    virtual_key: str = "", policy_version: str = "", tool_contract_version: str = "",
    route_config_version: str = "", index_version: str = "", output_type: str = "",
    result_ref: str = "", out_of_scope: bool | None = None,
    feature_flags: Mapping[str, object] | None = None, tags: Mapping[str, object] | None = None,
    summary: str = "", attributes: Mapping[str, Any] | None = None,
    context: Context | None = None,
) -> Any:  # fmt: skip
    """One execution of the agent `name`; with `workflow`, of several agents.

    `agent_type` is `application`, `service`, `workflow` or `autonomous`; `trigger` says what
    started it (`user`, `cron`, `webhook`, `agent`); `execution` whether somebody waits for it.
    Session, user, request, tenancy, versions and tags are put on every span inside, and a child
    run takes them over.

    `context` is where the run begins instead of here: what `extract` gave of a request or a job.
    """
    if is_function(name):
        return run().__call__(name)
    stamps: dict[str, Any] = {
        semconv.SESSION_ID: session,
        semconv.SESSION_NAME: session_name,
        semconv.SESSION_PATH: session_path,
        semconv.CONVERSATION_ID: conversation,
        semconv.USER_ID: user,
        semconv.REQUEST_ID: request_id,
        semconv.WORKSPACE: workspace,
        semconv.DEPARTMENT: department,
        semconv.VIRTUAL_KEY: virtual_key,
        semconv.AGENT_ID: agent_id,
        semconv.AGENT_ROLE: agent_role,
        semconv.AGENT_VERSION: agent_version,
        semconv.POLICY_VERSION: policy_version,
        semconv.TOOL_CONTRACT_VERSION: tool_contract_version,
        semconv.ROUTE_CONFIG_VERSION: route_config_version,
        semconv.INDEX_VERSION: index_version,
        **{f"{semconv.TAG_PREFIX}{key}": value for key, value in (tags or {}).items()},
    }
    made = Run(name, stamps, workflow, context, summary="", attributes=attributes)
    made._say(
        {
            semconv.GEN_AI_AGENT_DESCRIPTION: description,
            semconv.AGENT_TYPE: agent_type,
            semconv.TASK_TYPE: task_type,
            semconv.RUN_TRIGGER: trigger,
            semconv.RUN_EXECUTION: execution,
            semconv.OUTPUT_TYPE: output_type,
            semconv.RESULT_REF: result_ref,
            semconv.RUN_OUT_OF_SCOPE: out_of_scope,
            **{
                f"{semconv.FEATURE_FLAG_PREFIX}{key}": label(value)
                for key, value in (feature_flags or {}).items()
            },
        }
    )
    if summary:
        made.summary(summary)
    return made if input is None else made.input(input)


def current_run() -> Run | None:
    """The run that encloses this code; `None` outside of runs, and in a run of another process."""
    scope = current.current()
    return scope.handle if scope is not None else None
