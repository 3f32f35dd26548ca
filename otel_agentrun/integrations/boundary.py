"""Where a server or a worker calls into an application: every integration enters it through here.

What happens inside belongs to the run of whoever sent the request, or to one of its own.  What must
not pass from an application into its server, as a run that was stopped, is turned around in
`Served.turn`, the one place that every exception of the application goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context

from otel_agentrun import current
from otel_agentrun.current import Turns
from otel_agentrun.enforcement import outside
from otel_agentrun.runs import Run, run

__all__ = ["Choice", "Served"]

Choice = str | Callable[[Mapping[str, Any], Context], Run | None]
"""Which requests are runs: "" none, a name each one; or a function of the request (ASGI scope, WSGI
environ, Celery request) and of its context that makes the run, or none:

    lambda request, context: agentrun.run("support", context=context, trigger="user")
"""


class Served:
    """One request or job: its context, and its run if it is one.  Ends once."""

    def __init__(
        self, choice: Choice, request: Mapping[str, Any], context: Context, *, execution: str
    ) -> None:
        """`execution`: whether somebody waits for the result, `sync` or `async`."""
        self.run: Run | None = None
        if callable(choice):
            self.run = choice(request, context)
        elif choice:
            caller = current.current(context)
            self.run = run(
                choice,
                context=context,
                execution="async" if execution == "async" else "sync",
                trigger="agent" if caller is not None else "",
            )
        self._turns = Turns(context) if self.run is None else self.run.begin()
        if self.run is not None:
            self.run.at_home()
        self._ended = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The application is at work.  An exception that leaves it ends the run.

        Raises RunStoppedError for a RunStopped of whatever run: servers and workers outlive those.
        """
        try:
            with self._turns:
                yield
        except BaseException as error:
            self.end(error)
            stopped = outside(error)
            if stopped is not None:
                raise stopped from error
            raise

    def answered(self, status: int) -> None:
        """The application answered with this HTTP status."""
        if self.run is not None and status >= 500:
            self.run.fail(str(status), f"answered with HTTP status {status}")

    def end(self, error: BaseException | None = None) -> None:
        if not self._ended:
            self._ended = True
            if self.run is not None:
                self.run.end(error)
