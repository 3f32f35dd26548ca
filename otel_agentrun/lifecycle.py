"""Hooks: what an application wants to hear of its runs.

    @agentrun.on("fail")
    def tell(run: agentrun.Run, error: BaseException | None) -> None: ...

| hook | called with | when |
|---|---|---|
| `start` | run | a run began |
| `step` | run, step | a span of the run ended, any emitter's (needs the processor) |
| `finding` | run, finding, action | a local rule found something: `rules.Finding`; flag ... kill |
| `directive` | directive | the collector flags, warns or throttles runs: `directives.Directed` |
| `pause`, `resume` | run, reason | `run.pause()`, `run.resume()` |
| `complete` | run | it ended by itself |
| `fail` | run, error | it ended by an error |
| `kill` | run, stop reason | it ended because somebody or something stopped it |

Hooks run in the thread that did it and should be quick.  One that raises is logged, and the run
goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, get_args

__all__ = ["Hook", "fire", "has", "on"]

Hook = Literal[
    "start", "step", "finding", "directive", "pause", "resume", "complete", "fail", "kill"
]
HOOKS: Final[frozenset[str]] = frozenset(get_args(Hook))

F = TypeVar("F", bound=Callable[..., object])

_log = logging.getLogger(__name__)
_callbacks: dict[str, tuple[Callable[..., object], ...]] = {}


def on(hook: Hook) -> Callable[[F], F]:
    """Register the decorated function.  Raises `ValueError` for an unknown hook."""
    if hook not in HOOKS:
        raise ValueError(f"on({hook!r}): expected one of {', '.join(sorted(HOOKS))}")

    def register(callback: F) -> F:
        _callbacks[hook] = (*_callbacks.get(hook, ()), callback)
        return callback

    return register


def off(hook: Hook, callback: Callable[..., object]) -> None:
    """Take a function off again; one that is not registered is ignored."""
    _callbacks[hook] = tuple(each for each in _callbacks.get(hook, ()) if each is not callback)


def has(hook: Hook) -> bool:
    return bool(_callbacks.get(hook))


def fire(hook: Hook, *given: Any) -> None:
    """Call what is registered."""
    for callback in _callbacks.get(hook, ()):
        try:
            callback(*given)
        except Exception:
            _log.exception("hook_failed hook=%s callback=%r", hook, callback)
