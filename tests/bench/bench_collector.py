"""The whole collector under load: what it sustains, where the time goes, how late a run row is.

    python -m tests.bench.bench_collector [--seconds 20] [--concurrency 4] [--rate 0]

Starts `agentrun up` on an embedded store in a temporary folder with everything switched on, sends
25-span runs of 1.4 KB spans in requests of 512 (tests/bench/otlp_load.py), and waits until all
of it is stored.  A second sender exports a small run twice a second and asks the API for it:
the time from export to a readable run.  Prints one JSON object.  Talks to 127.0.0.1 only and ends
by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from pathlib import Path
from typing import Any

from tests.support.process import CollectorProcess
from tests.support.traffic import AgentRun, Sender, request

PROBE_EVERY_SECS = 0.5
POLL_SECS = 0.05
PROBE_FIRST = 10_000_000
SETTLE_SECS = 180.0


class Probe(threading.Thread):
    """Exports a run at a steady pace and measures when it can be read."""

    def __init__(self, collector: CollectorProcess) -> None:
        super().__init__(daemon=True)
        self._collector = collector
        self._sender = Sender(collector.ports["grpc"])
        self.ended = threading.Event()
        self.latencies: list[float] = []

    def run(self) -> None:
        number = PROBE_FIRST
        while not self.ended.is_set():
            number += 1
            run = AgentRun(number, time.time_ns() - 10**9)
            began = time.perf_counter()
            if self._sender.send(request(run.spans()), timeout=30.0):
                self._wait(run.trace_id)
                self.latencies.append(time.perf_counter() - began)
            time.sleep(max(0.0, PROBE_EVERY_SECS - (time.perf_counter() - began)))

    def _wait(self, run_id: str) -> None:
        while not self.ended.is_set():
            try:
                self._collector.get(f"/v1/runs/{run_id}")
            except urllib.error.HTTPError:
                time.sleep(POLL_SECS)
            else:
                return


def cpu_by_thread(collector: CollectorProcess) -> dict[str, float]:
    pattern = re.compile(r'^agentrun_thread_cpu_seconds_total{thread="(.*?)"} (\S+)$', re.MULTILINE)
    return {name: float(value) for name, value in pattern.findall(collector.get("/metrics"))}


def process_tree(pid: int) -> dict[int, tuple[float, int]]:
    """pid -> (CPU seconds, peak resident KiB) of a process and its children (Linux)."""
    found: dict[int, tuple[float, int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            status = (entry / "status").read_text()
        except OSError:
            continue
        if int(entry.name) == pid or int(fields[1]) == pid:
            cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            found[int(entry.name)] = (cpu, int(peak[1]) if peak else 0)
    return found


def percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3, 1)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="agentrun-bench-") as folder:
        settings = {"receiver_decoders": args.decoders, "log_level": "warning"}
        collector = CollectorProcess(Path(folder) / "data", **settings)
        with collector:
            time.sleep(2.0)  # the decoder process loads its libraries
            pid = collector.pid
            before, threads = process_tree(pid), cpu_by_thread(collector)
            probe = Probe(collector)
            probe.start()
            began = time.perf_counter()
            load = subprocess.run(
                [
                    sys.executable, "-m", "tests.bench.otlp_load",
                    "--endpoint", f"127.0.0.1:{collector.ports['grpc']}",
                    "--seconds", str(args.seconds), "--concurrency", str(args.concurrency),
                    "--rate", str(args.rate), "--batch", str(args.batch),
                ],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            sent = json.loads(load.stdout)
            at_end = collector.terms()
            terms = collector.settle(SETTLE_SECS)
            elapsed = time.perf_counter() - began
            probe.ended.set()
            probe.join(10.0)
            after, threads_after = process_tree(pid), cpu_by_thread(collector)
    spans = terms["stored"]
    cpu = {p: after[p][0] - before.get(p, (0.0, 0))[0] for p in after}
    stages = {
        name: round((secs - threads.get(name, 0.0)) / spans * 1e6, 2)
        for name, secs in threads_after.items()
    }
    decoders = sum(secs for p, secs in cpu.items() if p != pid)
    engine = cpu[pid] - sum(threads_after[n] - threads.get(n, 0.0) for n in threads_after)
    return {
        "spans_stored": spans,
        "acknowledged_per_s": sent["spans_per_s"],
        "pending_at_end_of_load": at_end["pending"],
        "stored_per_s": round(spans / elapsed),
        "ack_ms": sent["latency_ms"],
        "span_to_run_ms": {
            "p50": percentile(probe.latencies, 0.5),
            "p99": percentile(probe.latencies, 0.99),
            "probes": len(probe.latencies),
        },
        "cpu_us_per_span": round(sum(cpu.values()) / spans * 1e6, 1),
        "cpu_us_per_span_by_stage": {
            **stages,
            "decoder processes": round(decoders / spans * 1e6, 2),
            "engine": round(engine / spans * 1e6, 2),
        },
        "peak_rss_mb": {
            "collector": after[pid][1] // 1024,
            "decoders": sum(peak for p, (_, peak) in after.items() if p != pid) // 1024,
        },
        "refused": sent["errors"],
        "terms": terms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=0, help="spans/s, open loop; 0: closed loop")
    parser.add_argument("--decoders", type=int, default=1)
    print(json.dumps(measure(parser.parse_args()), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
