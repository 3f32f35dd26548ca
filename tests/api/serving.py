"""The API on a real port, in a thread with an event loop of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from anyio.from_thread import start_blocking_portal
from starlette.types import ASGIApp

from collector.api.server import serve_api
from collector.api.updates import Updates


@contextmanager
def serving(app: ASGIApp, updates: Updates) -> Iterator[str]:
    """The base URL; stops, draining, at the end."""
    serve = partial(
        serve_api, app, host="127.0.0.1", port=0, drain_secs=1, before_stop=updates.close
    )
    with start_blocking_portal("asyncio") as portal:
        served, port = portal.start_task(serve)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            served.cancel()
