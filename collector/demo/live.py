"""`agentrun demo`: a collector, the demo application, and whether they agree on what it did."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from anyio import to_thread

from collector import logs
from collector.api.values import Document
from collector.app import announce, opened, run_loop
from collector.cli.rendering import print_json, runs_table, show
from collector.collector import Collector
from collector.config import Config, SecretUrl
from collector.config.schema import ApiKey, ListenerConfig
from collector.demo.own_account import DemoRun
from collector.errors import ConfigError, StoreError
from collector.listeners import Ports, until_told
from collector.receiver.auth import key_digest

APPLICATION_SECS_MAX: Final = 60.0
NO_TLS: Final = """\
receiver.http.tls: expected none for the demo, got a certificate.
  Why: the demo's application runs on this machine and sends plain text.
  Fix: `agentrun demo --once` listens without it; or run the demo with another config."""
REACHABLE: Final[Mapping[str, str]] = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where all interfaces listen -> one to send to."""


def demo(config: Config, *, once: bool, json: bool) -> None:
    """Run a collector and the demo agents against it; then go on as `serve` does.

    `once`: in a temporary folder and on free ports; print what became of the runs and end.  Raises
    StoreError when the store does not have the runs that the application made, and ConfigError.
    """
    logs.configure("warning" if once else config.log.level, config.log.format)
    config, key = with_key(config)
    if not once:
        if config.receiver.http.tls.cert_file is not None:
            raise ConfigError(NO_TLS)
        with opened(config, decoders=config.receiver.decoders) as collector:
            run_loop(partial(until_told, collector, partial(_show_demo, key=key)))
        return
    with (
        tempfile.TemporaryDirectory(prefix="agentrun-demo-") as folder,
        opened(anywhere(config, Path(folder))) as collector,
    ):
        run_loop(partial(until_told, collector, partial(_demo_once, key=key, json=json)))


def with_key(config: Config) -> tuple[Config, str]:
    """The same collector with one more API key, for the demo, and that key.

    Of the configured ones only digests are known here.  It lives as long as this process; "" where
    no key is needed.
    """
    if not config.auth.keys:
        return config, ""
    key = secrets.token_urlsafe(32)
    mine = ApiKey(name="agentrun-demo", key_sha256=key_digest(key), roles=("ingest",))
    return replace(config, auth=replace(config.auth, keys=(*config.auth.keys, mine))), key


def anywhere(config: Config, folder: Path) -> Config:
    """The same collector in another folder and on free ports of loopback."""
    free = "127.0.0.1:0"
    receiver = config.receiver
    return replace(
        config,
        data_dir=folder,
        store=replace(config.store, url=SecretUrl(f"chdb://{folder}/store")),
        api=replace(config.api, address=free),
        read_endpoint=replace(config.read_endpoint, address=free),
        receiver=replace(
            receiver,
            grpc=ListenerConfig(address=free),
            http=ListenerConfig(address=free),
        ),
    )


async def _show_demo(collector: Collector, ports: Ports, *, key: str) -> bool:
    show(runs_table(await _run_demo(collector, ports, key)))
    return await announce(collector, ports)


async def _demo_once(collector: Collector, ports: Ports, *, key: str, json: bool) -> bool:
    runs = await _run_demo(collector, ports, key)
    if json:
        print_json(runs)
    else:
        show(runs_table(runs))
    return False


async def _run_demo(collector: Collector, ports: Ports, key: str) -> list[Document]:
    """Documents of the demo's runs, newest first; raises StoreError where they are not right."""
    variables = environment(collector.config.receiver.http, ports.http, key)
    made = await to_thread.run_sync(run_application, variables)
    pipeline = collector.pipeline
    await to_thread.run_sync(lambda: pipeline.call(pipeline.drain).result())
    found = []
    for demo_run in made:
        name = f"the demo's run {demo_run.run_id} ({demo_run.agent_name})"
        shown = await to_thread.run_sync(collector.run, demo_run.run_id)
        if shown is None:
            raise StoreError(f"{name} is not stored")
        if wrong := demo_run.differences(shown["run"]):
            raise StoreError(f"{name}: {wrong}")
        found.append(shown["run"])
    return found[::-1]


def run_application(variables: Mapping[str, str]) -> list[DemoRun]:
    """Run it in a process of its own, as applications do; its runs, in order of their start."""
    try:
        done = subprocess.run(
            # -P: no module of the folder that it was started in.
            [sys.executable, "-P", "-m", "collector.demo"],
            env=variables,
            stdout=subprocess.PIPE,
            timeout=APPLICATION_SECS_MAX,
            check=True,
            start_new_session=True,  # Ctrl-C is for the collector to hear
        )
    except subprocess.SubprocessError as error:
        raise StoreError(f"the demo's application did not end well: {error}") from error
    return [DemoRun.from_json(line) for line in done.stdout.splitlines()]


def environment(listener: ListenerConfig, port: int, key: str) -> dict[str, str]:
    """Variables of the application: where to send, with which key.

    `OTEL_*` variables of whoever starts the demo are about applications of theirs.
    """
    host = REACHABLE.get(listener.host, listener.host)
    host = f"[{host}]" if ":" in host else host
    found = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    found["no_proxy"] = "*"
    found["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{host}:{port}"
    if key:
        found["OTEL_EXPORTER_OTLP_HEADERS"] = f"Authorization=Bearer%20{key}"
    return found
