"""WSGI middleware (Flask, Django, ...): requests in the run of their caller.

    app.wsgi_app = AgentRunMiddleware(app.wsgi_app)                  # run() inside picks it up
    app.wsgi_app = AgentRunMiddleware(app.wsgi_app, run="support")   # and each request is a run

A run lasts until the server closes the response.  Between two pieces of a streamed response nothing
of it is in the server's context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from otel_agentrun.carriers import extract
from otel_agentrun.integrations.boundary import Choice, Served

__all__ = ["AgentRunMiddleware"]

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

HEADER = "HTTP_"


class AgentRunMiddleware:
    def __init__(self, app: App, run: Choice = "", *, public: bool = False) -> None:
        """`run`: see `Choice`; `public`: see `extract`, for services that anybody can reach."""
        self._app = app
        self._run = run
        self._public = public

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        context = extract(_headers(environ), public=self._public)
        served = Served(self._run, environ, context, execution="sync")

        def starting(status: str, *rest: Any) -> Any:
            served.answered(int(status.partition(" ")[0]))
            return start_response(status, *rest)

        with served.turn():
            body = self._app(environ, starting)
        file = environ.get("wsgi.file_wrapper")
        if isinstance(file, type) and isinstance(body, file):
            served.end()  # the server sends the file by itself
            return body
        return Body(body, served)


class Body:
    """A response, each piece of which is made inside the request's context."""

    def __init__(self, body: Iterable[bytes], served: Served) -> None:
        self._body = body
        self._served = served
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        with self._served.turn():
            if self._pieces is None:
                self._pieces = iter(self._body)
            piece = next(self._pieces, None)
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Servers call it when the response is through, or its client gone."""
        close = getattr(self._body, "close", None)
        if close is not None:
            with self._served.turn():
                close()
        self._served.end()


def _headers(environ: Environ) -> list[tuple[str, bytes]]:
    """PEP 3333: bytes as Latin-1 text, `X-Request-Id` as `HTTP_X_REQUEST_ID`."""
    return [
        (name[len(HEADER) :].replace("_", "-"), value.encode("latin-1", "replace"))
        for name, value in environ.items()
        if name.startswith(HEADER) and isinstance(value, str)
    ]
