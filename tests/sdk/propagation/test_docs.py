"""Every block of docs/propagation.md runs, and does what the page says."""

from __future__ import annotations

import json
import multiprocessing
import queue
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import propagate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import otel_agentrun as agentrun
from otel_agentrun import semconv
from tests.sdk.conftest import Recorded
from tests.sdk.propagation import serving
from tests.sdk.propagation.test_servers import until, wsgi_app

PAGE = Path(__file__).parents[3] / "docs" / "propagation.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def block(beginning: str, **names: Any) -> dict[str, Any]:
    """Run the block that has this text; its names afterwards."""
    [found] = [each for each in BLOCKS if beginning in each]
    RAN.add(found)
    space = {"agentrun": agentrun, "json": json, **names}
    exec(compile(found, str(PAGE), "exec"), space)
    return space


RAN: set[str] = set()


def search(what: str) -> str:
    with agentrun.tool("search"):
        run = agentrun.current_run()
        return f"{what} of {run.run_id if run else 'another process'}"


def ids(app: Recorded, *names: str) -> list[dict[str, Any]]:
    return [app.said(name) for name in names]


@pytest.fixture
def no_propagator() -> Iterator[None]:
    before = propagate.get_global_textmap()
    yield
    propagate.set_global_textmap(before)


def test_send_and_receive(app: Recorded) -> None:
    """Another agent is a child; a worker is more of the same run."""

    async def helper(request: Request) -> PlainTextResponse:
        block('agentrun.run("helper"', request=request)
        return PlainTextResponse("tea")

    with serving.asgi(Starlette(routes=[Route("/", helper)])) as url:
        answer = block("httpx.get(url", httpx=httpx, url=url)["answer"]
    assert answer.text == "tea"
    lead, tool, child = ids(app, "agent.run lead", "agent.tool ask the helper", "agent.run helper")
    assert lead[semconv.RUN_ID] == tool[semconv.RUN_ID] == child[semconv.RUN_PARENT_ID]


def test_queue(app: Recorded) -> None:
    jobs: queue.Queue[str] = queue.Queue()
    shipped: list[int] = []
    block("queue.put(", queue=jobs)
    block("queue.get(", queue=jobs, ship=shipped.append)

    lead, step = ids(app, "agent.run lead", "agent.tool ship")
    assert lead[semconv.RUN_ID] == step[semconv.RUN_ID]
    assert shipped == [7]


def test_pools(app: Recorded) -> None:
    found = block("ThreadPoolExecutor()", ThreadPoolExecutor=ThreadPoolExecutor, search=search)
    run_id = app.said("agent.run lead")[semconv.RUN_ID]
    assert found["found"] == [f"tea of {run_id}", f"cups of {run_id}"]


def test_process_pool(app: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")  # of the worker: nobody listens
    spawn = multiprocessing.get_context("spawn")
    found = block(
        "ProcessPoolExecutor(", ProcessPoolExecutor=ProcessPoolExecutor, spawn=spawn, search=search
    )
    assert found["found"] == "tea of another process"


def test_servers(app: Recorded) -> None:
    async def chat(request: Request) -> PlainTextResponse:
        return PlainTextResponse(search("tea"))

    plain = Starlette(routes=[Route("/chat", chat)])
    block("add_middleware(AgentRunMiddleware)", app=plain)
    with serving.asgi(plain) as url:
        assert httpx.get(f"{url}/chat").text == "tea of another process"

    names = block("import AgentRunMiddleware\n\napp.add", app=Starlette())
    chosen = Starlette(routes=[Route("/chat", chat), Route("/health", chat)])
    block("def choose", app=chosen, AgentRunMiddleware=names["AgentRunMiddleware"])
    with serving.asgi(chosen) as url:
        assert httpx.get(f"{url}/health").text == "tea of another process"
        run_id = httpx.get(f"{url}/chat").text.removeprefix("tea of ")
        assert until(app, "agent.run support")[semconv.RUN_ID] == run_id


def test_wsgi(app: Recorded) -> None:
    application = block("integrations.wsgi", application=wsgi_app())["application"]
    with serving.wsgi(application) as url:
        run_id = httpx.get(f"{url}/plain").text
        assert until(app, "agent.run support")[semconv.RUN_ID] == run_id


def test_celery(app: Recorded) -> None:
    """It gives the application back; what it does: test_celery.py."""
    celery = pytest.importorskip("celery")
    celery_app = celery.Celery("desk", set_as_current=False)
    space = block("integrations.celery", celery_app=celery_app)
    assert space["instrument"](celery_app) is celery_app


@pytest.mark.usefixtures("no_propagator")
def test_propagator(app: Recorded) -> None:
    block("set_global_textmap", set_global_textmap=propagate.set_global_textmap)
    carrier: dict[str, str] = {}
    with agentrun.run("lead") as run:
        propagate.inject(carrier)
    assert carrier["alephant-run-id"] == run.run_id


def test_that_was_all_of_the_page() -> None:
    """A new block needs a test, too.  (Runs last; alone it has nothing to say.)"""
    if RAN:
        assert set(BLOCKS) == RAN


def test_the_table_of_headers_is_complete() -> None:
    """S2.18-S2.25."""
    from otel_agentrun.propagation import HEADERS

    text = PAGE.read_text(encoding="utf-8").replace("-id`, `-name`, `-path`", "-id -name -path")
    for header, attribute in HEADERS.items():
        assert attribute in text
        assert header in text or header.rpartition("-")[0] in text
