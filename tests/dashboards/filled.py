"""A store that has something to show: the demo, an application with rules, and all captures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from anyio import to_thread

from collector.app import opened, run_loop
from collector.collector import Collector
from collector.config import Config, SecretUrl
from collector.config.schema import RulesConfig
from collector.dashboards.macros import Context
from collector.dashboards.scope import FILTERS
from collector.demo.live import anywhere, environment, run_application
from collector.ingest import ingest
from collector.listeners import Ports, until_told
from collector.store.client import Store
from tests.dashboards import governed, workshop
from tests.support import captures

DATABASE: Final = "dashboards"
DEAD_LETTER: Final = """\
INSERT INTO dead_letters (Timestamp, Signal, Reason, Error, Peer, SizeBytes, Sha256, Items)
VALUES (now64(9), 'traces', 'undecodable', 'no OTLP', '127.0.0.1:5', 12, 'ab', 1)"""
HOUR_NS: Final = 3_600_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """An open store, and periods that its runs are of."""

    store: Store
    began_ns: int
    """Before the demo's application started: captures are older."""

    def demo(self, **given: str) -> Context:
        """The period of the demo, everything selected but for what is given."""
        return self._context(self.began_ns - 1_000_000_000, given)

    def all(self, **given: str) -> Context:
        """The demo and the captures."""
        return self._context(0, given)

    def _context(self, since_ns: int, given: dict[str, str]) -> Context:
        return Context(
            since_ns=since_ns,
            until_ns=time.time_ns() + HOUR_NS,
            interval_ms=3_600_000,
            given=dict.fromkeys(FILTERS, "") | given,
            trusted={"database": DATABASE},
        )


@contextmanager
def fill(path: Path, folder: Path) -> Iterator[Filled]:
    """Fills a database of the embedded store at `path`; `folder` is for journals."""
    began_ns = time.time_ns()
    config = anywhere(Config(), folder)
    store = replace(config.store, url=SecretUrl(f"chdb://{path}"), database=DATABASE)
    rules = folder / "rules.yaml"
    rules.write_text(governed.RULES, encoding="utf-8")
    config = replace(config, store=store, rules=RulesConfig(file=rules))
    with Store.open(f"chdb://{path}", database="default") as before:
        before.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
    with Store.open(f"chdb://{path}", database=DATABASE) as held:
        with opened(config) as collector:
            run_loop(partial(until_told, collector, _demo))
        files = [captures.folder(name) for name in captures.sources()]
        wanted = [file for one in files for file in sorted(one.glob("*.otlp.json"))]
        wanted.append(workshop.written(folder, began_ns - HOUR_NS // 2))
        ingest(config, wanted, progress=lambda done, total: None)
        held.command(DEAD_LETTER)
        yield Filled(store=held, began_ns=began_ns)


async def _govern(collector: Collector, ports: Ports) -> None:
    """The runs of `governed`, and an operator who has one of them paused, which it confirms, and
    then all of its agent, which nobody hears."""
    send = f"http://127.0.0.1:{ports.http}"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports.api}") as client:

        async def post(url: str, body: governed.Json) -> httpx.Response:
            return (await client.post(url, json=body)).raise_for_status()

        async def tell(told: list[governed.Told]) -> None:
            spans, events = governed.requests(told)
            await post(f"{send}/v1/traces", spans)
            await post(f"{send}/v1/logs", events)
            await to_thread.run_sync(
                lambda: collector.pipeline.call(collector.pipeline.drain).result()
            )

        await tell(governed.runs(time.time_ns() - HOUR_NS // 7200))
        waits = governed.run_id("waits")
        made = await post(f"/v1/runs/{waits}/pause", {"reason": "end of the day"})
        await tell([governed.answer(made.json()["directive_id"], time.time_ns())])
        await post("/v1/pause", {"agent": "refund_agent", "reason": "a sale is on"})


async def _demo(collector: Collector, ports: Ports) -> bool:
    variables = environment(collector.config.receiver.http, ports.http, "")
    await to_thread.run_sync(run_application, variables)
    await _govern(collector, ports)
    await to_thread.run_sync(lambda: collector.pipeline.call(collector.pipeline.drain).result())
    return False
