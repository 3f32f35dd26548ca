"""An agent whose work is spread over tasks, threads, processes, a queue and a service."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import httpx

import otel_agentrun as agentrun


def work(place: str) -> str:
    with agentrun.tool(place):
        return place


async def work_async(place: str) -> str:
    await asyncio.sleep(0.01)
    return work(place)


async def in_tasks() -> None:
    await asyncio.gather(work_async("a task"), asyncio.to_thread(work, "a thread of asyncio"))


def in_processes(method: str) -> None:
    pool = ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context(method), initializer=agentrun.install
    )
    with pool:
        pool.submit(agentrun.wrap(work), f"a process by {method}").result(60)


def through_queue(*agents: str) -> None:
    jobs = [json.dumps({"agent": name, "agentrun": agentrun.inject()}) for name in agents]
    worker = [sys.executable, "-m", "tests.sdk.propagation.apps.worker"]
    subprocess.run(worker, input="\n".join(jobs), text=True, check=True, timeout=60)


def call(url: str) -> str:
    with agentrun.tool("call"):
        return httpx.get(url, headers=agentrun.inject()).raise_for_status().text


def main(helper: str) -> None:
    agentrun.install(service_name="desk")
    with agentrun.run(
        "lead", session="s-1", request_id="req-1", user="ada", tags={"team": "Zoë"}
    ) as run:
        asyncio.run(in_tasks())
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(agentrun.wrap(work), ("a thread", "a thread")))
        in_processes("spawn")
        in_processes("fork")
        through_queue("", "shipping")
        call(f"{helper}/stock")
        child = call(f"{helper}/research")
        run.respond("done")
    sys.stdout.write(json.dumps({"run_id": run.run_id, "research": child}))


if __name__ == "__main__":
    main(sys.argv[1])
