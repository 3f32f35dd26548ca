"""`agentrun demo`: a collector, the demo agents against it, and whether it has what they did."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from anyio import to_thread

from collector import logs
from collector.api.service import Document
from collector.app import announce, opened, run_loop
from collector.cli.rendering import print_json, runs_table, show
from collector.collector import Collector
from collector.config import Config, SecretUrl
from collector.demo import run_agents
from collector.errors import StoreError
from collector.listeners import Ports, until_told


def demo(config: Config, *, once: bool, json: bool) -> None:
    """Run a collector and the demo agents against it; then go on as `serve` does.

    `once`: in a temporary folder and on free ports; print what became of the runs and end.  Raises
    StoreError when the store does not have just the runs that the agents made.
    """
    logs.configure("warning" if once else config.log.level, config.log.format)
    if not once:
        with opened(config, decoders=config.receiver.decoders) as collector:
            run_loop(partial(until_told, collector, _show_demo))
        return
    with (
        tempfile.TemporaryDirectory(prefix="agentrun-demo-") as folder,
        opened(anywhere(config, Path(folder))) as collector,
    ):
        run_loop(partial(until_told, collector, partial(_demo_once, json=json)))


def anywhere(config: Config, folder: Path) -> Config:
    """The same collector in another folder and on free ports of loopback."""
    free = "127.0.0.1:0"
    receiver = config.receiver
    return replace(
        config,
        data_dir=folder,
        store=replace(config.store, url=SecretUrl(f"chdb://{folder}/store")),
        api=replace(config.api, address=free),
        receiver=replace(
            receiver,
            grpc=replace(receiver.grpc, address=free),
            http=replace(receiver.http, address=free),
        ),
    )


async def _show_demo(collector: Collector, ports: Ports) -> bool:
    show(runs_table(await _run_demo(collector, ports)))
    return await announce(collector, ports)


async def _demo_once(collector: Collector, ports: Ports, *, json: bool) -> bool:
    runs = await _run_demo(collector, ports)
    if json:
        print_json(runs)
    else:
        show(runs_table(runs))
    return False


async def _run_demo(collector: Collector, ports: Ports) -> list[Document]:
    """Documents of the demo's runs, newest first; raises StoreError where they are not right."""
    made = await to_thread.run_sync(
        run_agents, f"{collector.config.receiver.grpc.host}:{ports.grpc}"
    )
    pipeline = collector.pipeline
    await to_thread.run_sync(lambda: pipeline.call(pipeline.drain).result())
    found = {}
    for demo_run in made:
        shown = await to_thread.run_sync(collector.run, demo_run.run_id)
        if shown is None:
            raise StoreError(f"the demo's run {demo_run.run_id} ({demo_run.title}) is not stored")
        found[demo_run.run_id] = shown["run"]
        if wrong := demo_run.differences(shown["run"]):
            raise StoreError(f"the demo's run {demo_run.run_id} ({demo_run.title}): {wrong}")
    return list(reversed(found.values()))
