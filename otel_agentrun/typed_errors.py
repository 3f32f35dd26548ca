"""What kind of failure an error is, by class name, HTTP status and wording.

The answers are few and stable, so that they can be grouped by; the first rule that matches wins.
Class names and messages are those seen in captures of 24 frameworks and in the SDKs they wrap.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

BY_NAME: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (typed, re.compile(pattern, re.IGNORECASE))
    for typed, pattern in (
        (
            "cancelled",
            r"^(\w*cancel+ed(error)?|generatorexit|keyboardinterrupt|runstopped(error)?)$",
        ),
        ("context_length", r"context(window|length)"),
        (
            "max_iterations",
            r"recursionerror$|maxturns|maxiterations|usagelimit|callslimit|maxsteps",
        ),
        ("rate_limit", r"ratelimit|toomanyrequests|throttl|quota|resourceexhausted|^429$"),
        ("timeout", r"timeout|timedout|deadlineexceeded"),
        (
            "auth_error",
            r"authentication|unauthori[sz]ed|unauthenticated|permission|forbidden|accessdenied",
        ),
        ("content_filter", r"contentfilter|contentpolicy|safety|guardrail"),
        (
            "output_parse_error",
            r"outputpars|unexpectedmodelbehavior|modelbehavior|noobjectgenerated",
        ),
        ("unknown_tool", r"(unknown|invalid|nosuch)tool(name)?(error)?$|toolnotfound"),
        (
            "malformed_call",
            r"malformed(function|tool)?call|invalidtool(input|arguments)|jsondecode",
        ),
        ("validation_error", r"validation|invalidrequest|invalidargument|badrequest|unprocessable"),
        ("not_found", r"notfound"),
        ("connection_error", r"connection|connecterror|dnserror|gaierror|brokenpipe"),
        ("upstream_5xx", r"internalserver|serviceunavailable|badgateway|servererror|overloaded"),
    )
)

BY_MESSAGE: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (typed, re.compile(pattern, re.IGNORECASE))
    for typed, pattern in (
        (
            "context_length",
            r"maximum context length|context_length_exceeded|context window|prompt is too long",
        ),
        (
            "max_iterations",
            r"max(imum)? (turns|iterations|steps)\b.{0,20}exceeded|recursion limit of \d+",
        ),
        ("rate_limit", r"\brate.?limit|too many requests|quota exceeded"),
        (
            "timeout",
            r"timed out|deadline exceeded|(read|connect|connection|request|gateway) timeout"
            r"|timeout (of|after|exceeded|expired)",
        ),
        ("auth_error", r"\binvalid api key|incorrect api key|unauthori[sz]ed\b|permission denied"),
        (
            "unknown_tool",
            r"unknown tool\b|no tool named|tool .{1,80} not found|function .{1,80} not found"
            r"|\btool .{1,80} is not available",
        ),
        ("malformed_call", r"invalid json.{0,40}argument|arguments? (is|are) not valid json"),
        ("output_parse_error", r"could not parse (llm|model) output|for output validation"),
        ("connection_error", r"connection (refused|reset|error)|name or service not known"),
        (
            "upstream_5xx",
            r"the server had an error|internal server error|service unavailable|bad gateway",
        ),
    )
)

TYPES: Final = frozenset(typed for typed, _ in (*BY_NAME, *BY_MESSAGE))
"""A dialect or an emitter may have said it already."""

STATUS_IN_MESSAGE: Final = re.compile(
    r"(?:error code|status[_ ]?code|http(?:/\d(?:\.\d)?)?(?: status)?)\W{0,3}\s?([1-5]\d\d)\b",
    re.IGNORECASE,
)
SCANNED_CHARS_MAX: Final = 2000


def by_status(status_code: int) -> str:
    """The typed error of an HTTP status; "" for those that say too little."""
    if status_code >= 500:
        return "upstream_5xx" if status_code != 504 else "timeout"
    return {
        400: "validation_error",
        401: "auth_error",
        403: "auth_error",
        404: "not_found",
        408: "timeout",
        422: "validation_error",
        429: "rate_limit",
    }.get(status_code, "")


@lru_cache(maxsize=1024)
def typed_error(name: str, message: str = "", status_code: int | None = None) -> str:
    """`validation_error, auth_error, rate_limit, timeout, upstream_5xx`, ...; "" when unclear.

    `name` is an exception class or an `error.type`.  A message decides before a generic class name
    ("BadRequestError" that says the context is too long), after a telling one.
    """
    if name in TYPES:
        return name
    short = class_name(name)
    from_name = next((typed for typed, pattern in BY_NAME if pattern.search(short)), "")
    if from_name and from_name not in ("validation_error", "upstream_5xx"):
        return from_name
    head = message[:SCANNED_CHARS_MAX]
    for typed, pattern in BY_MESSAGE:
        if pattern.search(head):
            return typed
    if from_name:
        return from_name
    if status_code is None:
        found = STATUS_IN_MESSAGE.search(head)
        status_code = int(found.group(1)) if found else None
    if status_code is None and short.isdigit() and len(short) == 3:
        status_code = int(short)
    return by_status(status_code) if status_code is not None else ""


def class_name(name: str) -> str:
    """`openai.BadRequestError` and `<class 'openai.BadRequestError'>` -> `BadRequestError`."""
    name = name.strip()
    if name.startswith("<class '"):
        name = name[8:].partition("'")[0]
    return name.rpartition(".")[2][:100] if " " not in name else name[:100]
