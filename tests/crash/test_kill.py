"""Promise 1: a span that was acknowledged is never lost, not by `kill -9`; and counted once."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.support.process import CollectorProcess, query
from tests.support.traffic import (
    INPUT_TOKENS,
    MODEL_CALLS,
    SPANS_PER_RUN,
    TOOL_CALLS,
    Sender,
    requests,
)

KILLS = 30
RUNS_PER_LIFE = 60


@pytest.mark.crash
def test_nothing_acknowledged_is_lost_or_doubled_over_thirty_kills(tmp_path: Path) -> None:
    """Killed at random moments under load; senders resend what was not acknowledged, and some of
    what was.  At the end every span is stored once, and every run counts its calls once."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  # to repeat a failure
    rng = random.Random(seed)
    data_dir = tmp_path / "data"
    collector = CollectorProcess(data_dir, store_flush_secs=0.05, log_level="warning")
    unsent: list[bytes] = []
    acknowledged = 0
    runs = 0
    for _ in range(KILLS):
        collector.start()
        sender = Sender(collector.ports["grpc"])
        unsent += [body for body, _ in requests(runs, RUNS_PER_LIFE)]
        runs += RUNS_PER_LIFE
        killer = threading.Timer(rng.uniform(0.02, 0.4), collector.kill)
        killer.start()
        kept: list[bytes] = []
        for body in unsent:
            if not sender.send(body, timeout=2.0):
                kept.append(body)
                continue
            acknowledged += 1
            if rng.random() < 0.05:  # an answer that got lost: the exporter sends it again
                kept.append(body)
        killer.join()
        sender.close()
        unsent = kept
    with collector:
        sender = Sender(collector.ports["grpc"])
        for body in unsent:
            assert sender.send(body)
        sender.close()
        terms = collector.settle()
        assert terms["received"] + terms["recovered"] == (
            terms["stored"] + terms.get("refused", 0) + terms["deduplicated"]
        )
        assert collector.stop() == 0

    assert acknowledged > KILLS, "the collector was killed before it did anything"
    store = f"chdb://{data_dir}/store"
    [spans] = query(store, "SELECT count() AS n, uniqExact(SpanId) AS d FROM otel_traces FINAL")
    assert (spans["n"], spans["d"]) == (runs * SPANS_PER_RUN, runs * SPANS_PER_RUN)
    wrong = query(
        store,
        "SELECT RunId, Status, ModelCalls, ToolCalls, InputTokens, Steps FROM agent_runs FINAL"
        f" WHERE (Status, ModelCalls, ToolCalls, InputTokens) !="
        f" ('completed', {MODEL_CALLS}, {TOOL_CALLS}, {MODEL_CALLS * INPUT_TOKENS})",
    )
    assert wrong == []
    [found] = query(store, "SELECT count() AS n FROM agent_runs FINAL")
    assert found["n"] == runs
    [steps] = query(store, "SELECT count() AS n FROM agent_steps FINAL")
    assert steps["n"] == runs * SPANS_PER_RUN
    assert not list((data_dir / "journal").glob("*.segment")), "a clean stop leaves no journal"
