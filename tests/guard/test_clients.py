"""Real clients, a local server: model calls of a stopped run are refused, nothing else is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests

import otel_agentrun as agentrun
from otel_agentrun import guard, runtime
from otel_agentrun.stopping import RunStopped, RunStoppedError
from otel_agentrun.verdicts import Verdict
from tests.guard.conftest import CHUNKS, ModelServer

ROOT = Path(__file__).parents[2]
MODEL = "/v1/chat/completions"
HOOK = "/hooks/tell"
KILL = Verdict(action="kill", stop_reason="loop_detected", reason="the same call", rule="loops")
PAUSE = Verdict(action="pause", reason="wait for ada")

Post = Callable[[str], int]


def by_httpx(url: str) -> int:
    with httpx.Client() as client:
        return client.post(url, json={}).status_code


def by_httpx_stream(url: str) -> int:
    with httpx.Client() as client, client.stream("POST", url, json={}) as response:
        assert len(list(response.iter_lines())) == 2 * CHUNKS
        return response.status_code


def by_httpx2(url: str) -> int:
    with httpx2.Client() as client:
        return int(client.post(url, json={}).status_code)


def by_requests(url: str) -> int:
    return requests.post(url, json={}, timeout=5).status_code


def by_requests_stream(url: str) -> int:
    with requests.post(url, json={}, timeout=5, stream=True) as response:
        assert len([line for line in response.iter_lines() if line]) == CHUNKS
        return response.status_code


def by_botocore(url: str) -> int:
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    request = AWSRequest(method="POST", url=url, data=b"{}").prepare()
    return int(URLLib3Session().send(request).status_code)


async def by_httpx_async(url: str) -> int:
    async with httpx.AsyncClient() as client:
        return (await client.post(url, json={})).status_code


async def by_httpx_async_stream(url: str) -> int:
    async with httpx.AsyncClient() as client, client.stream("POST", url, json={}) as response:
        assert len([line async for line in response.aiter_lines()]) == 2 * CHUNKS
        return response.status_code


async def by_httpx2_async(url: str) -> int:
    async with httpx2.AsyncClient() as client:
        return int((await client.post(url, json={})).status_code)


async def by_aiohttp(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as response:
        await response.read()
        return response.status


async def by_aiohttp_base_url(url: str) -> int:
    base, slash, path = url.partition("/v1/") if "/v1/" in url else url.partition("/hooks/")
    async with aiohttp.ClientSession(base) as session:
        response = await session.request(method="POST", url=slash + path, json={})
        await response.read()
        return response.status


SYNC = (by_httpx, by_httpx_stream, by_httpx2, by_requests, by_requests_stream, by_botocore)
ASYNC = (
    by_httpx_async, by_httpx_async_stream, by_httpx2_async, by_aiohttp, by_aiohttp_base_url,
)  # fmt: skip


def in_loop(post: Callable[[str], Any]) -> Post:
    return lambda url: asyncio.run(post(url))


CLIENTS = [
    *(pytest.param(post, id=post.__name__) for post in SYNC),
    *(pytest.param(in_loop(post), id=post.__name__) for post in ASYNC),
]


@contextmanager
def stopped_run() -> Iterator[agentrun.Run]:
    """A run that was stopped; its boundary is outside of what is tested."""
    with pytest.raises(RunStoppedError), agentrun.run("support") as run:  # noqa: PT012
        assert runtime.active().verdicts.give(KILL, run_id=run.run_id)
        yield run
        raise RunStopped(run.run_id, "loop_detected")


@pytest.mark.parametrize("post", CLIENTS)
def test_a_stopped_run_makes_no_model_call(
    app: agentrun.Installation, server: ModelServer, post: Post
) -> None:
    """Refused before anything is sent; whoever cleans up still tells somebody."""
    with stopped_run() as run:
        with pytest.raises(RunStopped) as stopped:
            post(server.url + MODEL)
        assert post(server.url + HOOK) == 200

    error = stopped.value
    assert (error.run_id, error.stop_reason, error.rule) == (run.run_id, "loop_detected", "loops")
    assert server.asked == [HOOK]


@pytest.mark.parametrize("post", CLIENTS)
def test_other_runs_and_code_outside_of_runs_go_on(
    app: agentrun.Installation, server: ModelServer, post: Post
) -> None:
    with stopped_run():
        in_thread = threading.Thread(target=post, args=(server.url + MODEL,))
        in_thread.start()
        in_thread.join(5)
    with agentrun.run("next"):
        assert post(server.url + MODEL) == 200

    assert server.asked == [MODEL, MODEL]


def test_hosts_of_ones_own_are_guarded(app: agentrun.Installation, server: ModelServer) -> None:
    guard.install([f"127.0.0.1:{server.server_port}"])
    with stopped_run(), pytest.raises(RunStopped):
        by_httpx(f"{server.url}/internal/generate")

    assert server.asked == []


@pytest.mark.parametrize("post", ASYNC)
def test_a_paused_run_awaits_and_goes_on(
    app: agentrun.Installation, server: ModelServer, post: Callable[[str], Any]
) -> None:
    """The event loop stays free while it waits."""

    async def work() -> int:
        with agentrun.run("support") as run:
            verdicts = runtime.active().verdicts
            assert verdicts.give(PAUSE, run_id=run.run_id)
            call = asyncio.create_task(post(server.url + MODEL))
            await asyncio.sleep(0.05)
            assert not call.done()
            assert server.asked == []
            assert verdicts.lift(run.run_id)
            return int(await asyncio.wait_for(call, 5))

    assert asyncio.run(work()) == 200
    assert server.asked == [MODEL]


@pytest.mark.parametrize("post", SYNC)
def test_a_paused_run_waits_in_its_thread_and_goes_on(
    app: agentrun.Installation, server: ModelServer, post: Post
) -> None:
    with agentrun.run("support") as run:
        verdicts = runtime.active().verdicts
        assert verdicts.give(PAUSE, run_id=run.run_id)
        asked_before: list[list[str]] = []

        def lift() -> None:
            asked_before.append(list(server.asked))
            verdicts.lift(run.run_id)

        threading.Timer(0.05, lift).start()
        assert post(server.url + MODEL) == 200

    assert asked_before == [[]]


@pytest.mark.parametrize(("fallback", "asked"), [("continue", [MODEL]), ("kill", [])])
def test_a_blocking_client_in_an_event_loop_does_not_block_it(
    app: agentrun.Installation, server: ModelServer, fallback: Any, asked: list[str]
) -> None:
    """Waiting would stop everything else of the process: what the rule says happens instead."""

    async def work() -> None:
        with agentrun.run("support") as run:
            paused = Verdict(action="pause", fallback=fallback, stop_reason="policy")
            runtime.active().verdicts.give(paused, run_id=run.run_id)
            by_httpx(server.url + MODEL)

    if fallback == "kill":
        with pytest.raises(RunStoppedError):
            asyncio.run(work())
    else:
        asyncio.run(work())
    assert server.asked == asked


def test_a_killed_run_does_not_wait_on(app: agentrun.Installation, server: ModelServer) -> None:
    """A kill while it is paused ends the wait."""

    async def work() -> None:
        with agentrun.run("support") as run:
            verdicts = runtime.active().verdicts
            verdicts.give(PAUSE, run_id=run.run_id)
            call = asyncio.create_task(by_httpx_async(server.url + MODEL))
            await asyncio.sleep(0.02)
            verdicts.give(KILL, run_id=run.run_id)
            await asyncio.wait_for(call, 5)

    with pytest.raises(RunStoppedError, match="loop_detected"):
        asyncio.run(work())
    assert server.asked == []


def test_it_is_installed_once_and_taken_off_again(app: agentrun.Installation) -> None:
    guarded = httpx.Client.send
    guard.install()

    assert httpx.Client.send is guarded
    guard.uninstall()
    assert httpx.Client.send is not guarded
    assert not hasattr(httpx.Client.send, guard.MARK)
    assert not hasattr(requests.Session.send, guard.MARK)


def test_a_wrapper_of_somebody_else_stays_and_ours_below_it_does_nothing(
    app: agentrun.Installation, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: Any = requests.Session.send
    seen = []

    def theirs(self: Any, request: Any, **kwargs: Any) -> Any:
        seen.append(request.url)
        return ours(self, request, **kwargs)

    theirs.__wrapped__ = ours  # type: ignore[attr-defined]
    monkeypatch.setattr(requests.Session, "send", theirs)
    guard.install()
    assert requests.Session.send is theirs
    guard.uninstall()

    with stopped_run():
        assert by_requests(server.url + MODEL) == 200
    assert seen == [server.url + MODEL]
    monkeypatch.setattr(requests.Session, "send", ours.__wrapped__)


def test_it_costs_next_to_nothing_while_nobody_is_stopped(app: agentrun.Installation) -> None:
    """One attribute is read: far below what a request takes."""

    class Client:
        def send(self, request: object) -> None:
            return None

    plain, guarded = Client.send, guard._sync(guard._of_request, Client.send)
    client, request = Client(), object()

    def micros(send: Callable[..., None]) -> float:
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(2000):
                send(client, request)
            best = min(best, (time.perf_counter() - start) / 2000 * 1e6)
        return best

    assert micros(guarded) - micros(plain) < 5


LATE = """
import sys
import otel_agentrun as agentrun
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
agentrun.install(tracer_provider=TracerProvider(), logger_provider=LoggerProvider(), control=False)
assert not {"httpx", "httpx2", "aiohttp", "botocore"} & set(sys.modules), "imported by install"
import httpx, httpx2, aiohttp, botocore.httpsession, requests
from otel_agentrun.guard import MARK
found = [httpx.Client.send, httpx.AsyncClient.send, httpx2.Client.send, httpx2.AsyncClient.send,
         aiohttp.ClientSession._request, botocore.httpsession.URLLib3Session.send,
         requests.Session.send]
assert all(hasattr(each, MARK) for each in found), found
import importlib.resources
assert importlib.resources.files("httpx").joinpath("__init__.py").is_file()
print("guarded")
"""


def test_clients_that_are_imported_later_are_guarded_and_none_is_imported_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LATE], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert done.stdout == "guarded\n", done.stderr


def test_the_guard_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    for setting in ({"guard": False}, {}):
        if not setting:
            monkeypatch.setenv("OTEL_AGENTRUN_GUARD", "false")
        agentrun.install(
            tracer_provider=TracerProvider(shutdown_on_exit=False), live=False, **setting
        )
        assert not hasattr(httpx.Client.send, guard.MARK)
        agentrun.uninstall()
