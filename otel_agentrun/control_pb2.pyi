from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Up(_message.Message):
    __slots__ = ("hello", "reports")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    reports: Reports
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping[str, object]]] = ..., reports: _Optional[_Union[Reports, _Mapping[str, object]]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("application_id", "service_name", "sdk_version", "runs", "can_stop", "can_pause")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    CAN_STOP_FIELD_NUMBER: _ClassVar[int]
    CAN_PAUSE_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    service_name: str
    sdk_version: str
    runs: _containers.RepeatedCompositeFieldContainer[OpenRun]
    can_stop: bool
    can_pause: bool
    def __init__(self, application_id: _Optional[str] = ..., service_name: _Optional[str] = ..., sdk_version: _Optional[str] = ..., runs: _Optional[_Iterable[_Union[OpenRun, _Mapping[str, object]]]] = ..., can_stop: _Optional[bool] = ..., can_pause: _Optional[bool] = ...) -> None: ...

class OpenRun(_message.Message):
    __slots__ = ("run_id", "agent", "workspace", "started_unix_ns")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    agent: str
    workspace: str
    started_unix_ns: int
    def __init__(self, run_id: _Optional[str] = ..., agent: _Optional[str] = ..., workspace: _Optional[str] = ..., started_unix_ns: _Optional[int] = ...) -> None: ...

class Reports(_message.Message):
    __slots__ = ("sequence", "logs", "started", "ended")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    logs: bytes
    started: _containers.RepeatedCompositeFieldContainer[OpenRun]
    ended: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sequence: _Optional[int] = ..., logs: _Optional[bytes] = ..., started: _Optional[_Iterable[_Union[OpenRun, _Mapping[str, object]]]] = ..., ended: _Optional[_Iterable[str]] = ...) -> None: ...

class Down(_message.Message):
    __slots__ = ("welcome", "received", "directive")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    DIRECTIVE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    received: Received
    directive: Directive
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping[str, object]]] = ..., received: _Optional[_Union[Received, _Mapping[str, object]]] = ..., directive: _Optional[_Union[Directive, _Mapping[str, object]]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("collector_id",)
    COLLECTOR_ID_FIELD_NUMBER: _ClassVar[int]
    collector_id: str
    def __init__(self, collector_id: _Optional[str] = ...) -> None: ...

class Received(_message.Message):
    __slots__ = ("sequence", "error")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    error: str
    def __init__(self, sequence: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class Directive(_message.Message):
    __slots__ = ("id", "action", "run_id", "agent", "workspace", "everything", "reason", "stop_reason", "rule", "rules_version", "policy_version", "span_ids", "actor", "approval_id", "tool_call_id", "tool_name", "at_unix_ns", "expires_unix_ns", "workspace_limit")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    EVERYTHING_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SPAN_IDS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    AT_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    id: str
    action: str
    run_id: str
    agent: str
    workspace: str
    everything: bool
    reason: str
    stop_reason: str
    rule: str
    rules_version: str
    policy_version: str
    span_ids: _containers.RepeatedScalarFieldContainer[str]
    actor: str
    approval_id: str
    tool_call_id: str
    tool_name: str
    at_unix_ns: int
    expires_unix_ns: int
    workspace_limit: str
    def __init__(self, id: _Optional[str] = ..., action: _Optional[str] = ..., run_id: _Optional[str] = ..., agent: _Optional[str] = ..., workspace: _Optional[str] = ..., everything: _Optional[bool] = ..., reason: _Optional[str] = ..., stop_reason: _Optional[str] = ..., rule: _Optional[str] = ..., rules_version: _Optional[str] = ..., policy_version: _Optional[str] = ..., span_ids: _Optional[_Iterable[str]] = ..., actor: _Optional[str] = ..., approval_id: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., at_unix_ns: _Optional[int] = ..., expires_unix_ns: _Optional[int] = ..., workspace_limit: _Optional[str] = ...) -> None: ...
