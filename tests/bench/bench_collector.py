"""The whole collector under load: what it sustains, where the time goes, how late a run row is.

    python -m tests.bench.bench_collector [--seconds 20] [--concurrency 4] [--rate 0] [--mix]

Starts `agentrun up` on an embedded store in a temporary folder with everything switched on, sends
25-span runs of 1.4 KB spans in requests of 512 (tests/bench/otlp_load.py), or with --mix the
captures of all dialects (tests/bench/mix.py), and waits until all of it is stored.  Ack latency is
the sender's; span-to-run is the collector's own metric, from the arrival of a request until the
runs of its spans can be queried.  Prints one JSON object.  Talks to 127.0.0.1 only and ends by
itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.process import CollectorProcess

POLL_SECS = 0.5
SETTLE_SECS = 180.0
MIX_COPIES = 4


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


def histogram(metrics: str, name: str) -> dict[str, int]:
    """Upper bound -> observations up to it."""
    return {
        bound: int(float(count))
        for bound, count in re.findall(
            rf'^{name}_bucket{{le="(\S+)"}} (\S+)$', metrics, re.MULTILINE
        )
    }


def percentile(cumulated: dict[str, int], share: float) -> str:
    """The first bound that so many observations are within."""
    wanted = share * cumulated["+Inf"]
    return next(bound for bound, count in cumulated.items() if count >= wanted)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="agentrun-bench-") as folder:
        settings = {"receiver_decoders": args.decoders, "log_level": "warning"}
        collector = CollectorProcess(Path(folder) / "data", cold=True, **settings)
        with collector:
            time.sleep(2.0)  # the decoder process loads its libraries
            pid = collector.pid
            before, threads = process_tree(pid), cpu_by_thread(collector)
            began = time.perf_counter()
            load = subprocess.run(
                [
                    sys.executable, "-m", "tests.bench.otlp_load",
                    "--endpoint", f"127.0.0.1:{collector.ports['grpc']}",
                    "--seconds", str(args.seconds), "--concurrency", str(args.concurrency),
                    "--rate", str(args.rate), "--batch", str(args.batch),
                    *(("--mix", str(MIX_COPIES)) if args.mix else ()),
                ],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            sent = json.loads(load.stdout)
            at_end = collector.terms()
            terms = collector.settle(SETTLE_SECS, poll_secs=POLL_SECS)
            elapsed = time.perf_counter() - began
            after, threads_after = process_tree(pid), cpu_by_thread(collector)
            lags = histogram(collector.get("/metrics"), "agentrun_span_to_run_seconds")
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
        "span_to_run_at_most_secs": {
            "p50": percentile(lags, 0.5),
            "p99": percentile(lags, 0.99),
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
    parser.add_argument("--mix", action="store_true", help="spans of all dialects (mix.py)")
    print(json.dumps(measure(parser.parse_args()), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
