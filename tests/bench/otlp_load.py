"""OTLP load generator: realistic agent runs, cheap to produce, honest to measure.

A pool of agent runs (one run = one trace of about 25 spans) is built once with
opentelemetry-proto and serialized into export requests of --batch spans, in the
order a BatchSpanProcessor would emit them (spans leave when they end, runs of one
process are interleaved).  Every pass over the pool then only overwrites ids and
timestamps inside the serialized bytes, so the generator costs about 1 us per span.

    otlp_load.py --endpoint 127.0.0.1:4317 --runs 10240 --concurrency 4
    otlp_load.py --endpoint http://127.0.0.1:4318 --protocol http --seconds 30
    otlp_load.py --endpoint 127.0.0.1:4317 --rate 20000 --seconds 60      # open loop

Without --rate the loop is closed: each of --concurrency senders waits for its answer.
With --rate (spans/s) requests are due at fixed times and `latency_ms` counts from the
due time, so a stalled server shows up in it (`service_ms` counts from the actual send).
Prints one JSON object.  Needs: opentelemetry-proto, grpcio, numpy.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import random
import resource
import sys
import threading
import time
import urllib.parse

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

GRPC_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RETRYABLE_GRPC = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"}
RETRYABLE_HTTP = {429, 502, 503, 504}
TEXT = (
    "order refund invoice customer schedule delivery status account policy search result "
    "summary ticket contract region quarter revenue forecast latency deploy rollback index "
    "please check the following and explain what changed since last week before answering"
)
WORDS = TEXT.split()
TOOLS = ("search_orders", "get_customer", "run_sql", "send_email", "read_file", "http_get")
MODELS = (("openai", "gpt-4.1"), ("openai", "gpt-4.1-mini"), ("anthropic", "claude-sonnet-4-5"))


# --------------------------------------------------------------------------- payloads


def set_attributes(target, values: dict) -> None:
    for key, value in values.items():
        any_value = target.add(key=key).value
        if isinstance(value, bool):
            any_value.bool_value = value
        elif isinstance(value, int):
            any_value.int_value = value
        elif isinstance(value, float):
            any_value.double_value = value
        elif isinstance(value, list):
            for item in value:
                any_value.array_value.values.add().string_value = item
        else:
            any_value.string_value = value


def text(rng: random.Random, size: int) -> str:
    out = []
    while size > 0:
        word = rng.choice(WORDS)
        out.append(word)
        size -= len(word) + 1
    return " ".join(out)


class RunBuilder:
    """Builds the spans of one agent run; `spans` is a list of (scope, Span) in end order."""

    def __init__(self, rng: random.Random, seed: int, number: int, next_span_id, looping: bool):
        self.rng, self.next_span_id, self.looping = rng, next_span_id, looping
        # First four bytes are overwritten with the pass number on every pass.
        self.trace_id = (
            bytes(4) + (seed & 0xFFFFFFFF).to_bytes(4, "big") + (number + 1).to_bytes(8, "big")
        )
        self.conversation = f"conv-{seed}-{number}"
        self.agent = f"agent-{number % 7}"
        self.clock = 1_000_000_000 + number * 1000
        self.spans: list[tuple[str, Span]] = []
        self.build()

    def span(self, scope, name, kind, parent, attributes, min_ms, max_ms, error=None) -> Span:
        span = Span(
            trace_id=self.trace_id, span_id=self.next_span_id(), name=name, kind=kind, flags=0x101
        )
        if parent:
            span.parent_span_id = parent
        span.start_time_unix_nano = self.clock
        self.clock += int(self.rng.uniform(min_ms, max_ms) * 1e6)
        span.end_time_unix_nano = self.clock
        set_attributes(span.attributes, attributes)
        if error:
            span.status.code, span.status.message = Status.STATUS_CODE_ERROR, error
            event = span.events.add(time_unix_nano=self.clock, name="exception")
            set_attributes(
                event.attributes,
                {
                    "exception.type": "ToolError",
                    "exception.message": error,
                    "exception.stacktrace": text(self.rng, 400),
                },
            )
        self.spans.append((scope, span))
        return span

    def chat(self, parent: bytes, turn: int) -> None:
        rng = self.rng
        provider, model = rng.choice(MODELS)
        history = [
            {
                "role": "user" if i % 2 == 0 else "assistant",
                "parts": [{"type": "text", "content": text(rng, rng.randint(180, 380))}],
            }
            for i in range(4)
        ]
        answer = [
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": text(rng, 220)}],
                "finish_reason": "stop",
            }
        ]
        self.span(
            "opentelemetry.instrumentation.openai_v2",
            f"chat {model}",
            Span.SPAN_KIND_CLIENT,
            parent,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.response.model": model + "-2026-04-14",
                "gen_ai.response.id": f"resp_{rng.getrandbits(96):024x}",
                "gen_ai.response.finish_reasons": ["tool_calls" if turn < 9 else "stop"],
                "gen_ai.request.temperature": 0.2,
                "gen_ai.request.top_p": 0.95,
                "gen_ai.request.max_tokens": 4096,
                "gen_ai.usage.input_tokens": 400 + 350 * turn + rng.randint(0, 99),
                "gen_ai.usage.output_tokens": rng.randint(20, 600),
                "gen_ai.usage.cache_read.input_tokens": 300 * turn,
                "gen_ai.conversation.id": self.conversation,
                "gen_ai.agent.name": self.agent,
                "gen_ai.output.type": "text",
                "server.address": f"api.{provider}.example",
                "server.port": 443,
                "gen_ai.input.messages": json.dumps(history),
                "gen_ai.output.messages": json.dumps(answer),
            },
            300,
            4000,
        )

    def tool(self, parent: bytes, turn: int) -> None:
        rng = self.rng
        name = TOOLS[0] if self.looping else rng.choice(TOOLS)
        arguments = {"query": "same" if self.looping else text(rng, 40), "limit": 10}
        error = "upstream timed out" if rng.random() < 0.05 else None
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": f"call_{rng.getrandbits(64):016x}",
            "gen_ai.tool.description": "Looks things up for the agent",
            "gen_ai.tool.call.arguments": json.dumps(arguments),
            "gen_ai.tool.call.result": json.dumps({"rows": [text(rng, 60) for _ in range(4)]}),
            "gen_ai.conversation.id": self.conversation,
            "gen_ai.agent.name": self.agent,
        }
        if error:
            attributes["error.type"] = "ToolError"
        self.span(
            "bench.agent",
            f"execute_tool {name}",
            Span.SPAN_KIND_INTERNAL,
            parent,
            attributes,
            5,
            900,
            error,
        )

    def retrieval(self, parent: bytes) -> None:
        rng = self.rng
        documents = [
            {"id": f"doc-{rng.randint(0, 9999)}", "score": round(rng.random(), 4)} for _ in range(6)
        ]
        self.span(
            "bench.agent",
            "retrieval kb",
            Span.SPAN_KIND_CLIENT,
            parent,
            {
                "gen_ai.operation.name": "retrieval",
                "gen_ai.data_source.id": "kb-main",
                "gen_ai.retrieval.query.text": text(rng, 80),
                "gen_ai.retrieval.documents": json.dumps(documents),
                "db.system.name": "postgresql",
                "gen_ai.conversation.id": self.conversation,
            },
            10,
            120,
        )

    def http(self, parent: bytes) -> None:
        rng = self.rng
        self.span(
            "opentelemetry.instrumentation.httpx",
            "GET",
            Span.SPAN_KIND_CLIENT,
            parent,
            {
                "http.request.method": "GET",
                "url.full": "https://internal.example/api/v1/items/"
                f"{rng.randint(0, 99999)}?expand=lines",
                "server.address": "internal.example",
                "server.port": 443,
                "http.response.status_code": 200,
                "network.protocol.version": "1.1",
            },
            5,
            250,
        )

    def build(self) -> None:
        rng, start, root_id = self.rng, self.clock, self.next_span_id()
        retrievals, requests = set(rng.sample(range(10), 3)), set(rng.sample(range(10), 3))
        for turn in range(10):
            if turn in retrievals:
                self.retrieval(root_id)
            self.chat(root_id, turn)
            if turn < 8:
                self.tool(root_id, turn)
            if turn in requests:
                self.http(self.spans[-1][1].span_id)
        root = self.span(
            "bench.agent",
            f"invoke_agent {self.agent}",
            Span.SPAN_KIND_INTERNAL,
            b"",
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.provider.name": "openai",
                "gen_ai.agent.name": self.agent,
                "gen_ai.agent.id": f"asst_{self.agent}",
                "gen_ai.conversation.id": self.conversation,
                "gen_ai.request.model": "gpt-4.1",
                "user.id": f"user-{rng.randint(0, 500)}",
            },
            0,
            1,
        )
        root.span_id, root.start_time_unix_nano = root_id, start


def read_varint(data, pos: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, pos
        shift += 7


def fields(data, pos: int, end: int):
    """Yields (field number, wire type, value start, value end) of one message."""
    while pos < end:
        tag, pos = read_varint(data, pos)
        wire = tag & 7
        if wire == 0:
            start, (_, pos) = pos, read_varint(data, pos)
        elif wire == 2:
            size, start = read_varint(data, pos)
            pos = start + size
        else:
            start, pos = pos, pos + (8 if wire == 1 else 4)
        yield tag >> 3, wire, start, pos


class Payload:
    """One serialized export request whose ids and times can be rewritten in place."""

    def __init__(self, data: bytes, spans: int):
        self.spans = spans
        self.array = np.frombuffer(data, np.uint8).copy()
        ids, times = [], []
        for number, _, rs_start, rs_end in fields(data, 0, len(data)):
            for number, _, ss_start, ss_end in fields(data, rs_start, rs_end):
                if number != 2:
                    continue
                for number, _, start, end in fields(data, ss_start, ss_end):
                    if number == 2:
                        self._locate(data, start, end, ids, times)
        self.id_index = np.array(ids)[:, None] + np.arange(4)
        self.time_index = np.array(times)[:, None] + np.arange(8)
        self.base_times = self.array[self.time_index].copy().view("<u8")

    @staticmethod
    def _locate(data, start, end, ids, times) -> None:
        for number, _, at, stop in fields(data, start, end):
            if number in (1, 2, 4) and stop > at:
                ids.append(at)
            elif number in (7, 8):
                times.append(at)
            elif number == 11:
                times += [a for n, w, a, _ in fields(data, at, stop) if n == 1 and w == 1]
            elif number == 13:
                ids += [a for n, _, a, z in fields(data, at, stop) if n in (1, 2) and z > a]

    def stamp(self, number: int, shift_ns: int) -> bytes:
        self.array[self.id_index] = np.array([number], ">u4").view(np.uint8)
        self.array[self.time_index] = (self.base_times + np.uint64(shift_ns)).view(np.uint8)
        return self.array.tobytes()


def build_pool(
    runs: int, batch: int, seed: int, active: int = 24, loop_fraction: float = 0.02
) -> list[Payload]:
    """`runs` runs, `active` of them in flight at a time, as requests of `batch` spans."""
    rng = random.Random(seed)
    counter = iter(range(1, 1 << 24))

    def next_span_id() -> bytes:
        return bytes(4) + bytes([seed & 0xFF]) + next(counter).to_bytes(3, "big")

    waiting = iter(range(runs))
    open_runs, stream = [], []

    def open_next() -> None:
        number = next(waiting, None)
        if number is not None:
            run = RunBuilder(rng, seed, number, next_span_id, rng.random() < loop_fraction)
            open_runs.append(iter(run.spans))

    for _ in range(active):
        open_next()
    while open_runs:
        index = rng.randrange(len(open_runs))
        item = next(open_runs[index], None)
        if item is None:
            open_runs.pop(index)
            open_next()
        else:
            stream.append(item)

    payloads = []
    for at in range(0, len(stream), batch):
        chunk = stream[at : at + batch]
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        set_attributes(
            resource_spans.resource.attributes,
            {
                "service.name": "bench-agents",
                "service.version": "1.4.2",
                "service.instance.id": f"i-{seed}",
                "deployment.environment.name": "bench",
                "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "opentelemetry",
                "telemetry.sdk.version": "1.45.2",
                "host.name": "bench-host",
            },
        )
        scopes = {}
        for scope, span in chunk:
            if scope not in scopes:
                scopes[scope] = resource_spans.scope_spans.add()
                scopes[scope].scope.name, scopes[scope].scope.version = scope, "0.66b2"
            scopes[scope].spans.append(span)
        payloads.append(Payload(request.SerializeToString(), len(chunk)))
    return payloads


# --------------------------------------------------------------------------- sending


class GrpcSender:
    def __init__(self, args):
        import grpc

        self.grpc = grpc
        target = args.endpoint.removeprefix("http://").rstrip("/")
        self.channel = grpc.insecure_channel(
            target,
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_send_message_length", 1 << 30),
            ],
            compression=grpc.Compression.Gzip if args.gzip else None,
        )
        self.call = self.channel.unary_unary(GRPC_METHOD)  # no serializers: bytes in, bytes out
        self.metadata = [(k.lower(), v) for k, v in args.header]
        self.timeout = args.timeout

    def send(self, data: bytes):
        """Returns (error name or None, retryable, response bytes)."""
        try:
            return None, False, self.call(data, timeout=self.timeout, metadata=self.metadata)
        except self.grpc.RpcError as error:
            name = error.code().name
            return name, name in RETRYABLE_GRPC, b""


class HttpSender:
    def __init__(self, args):
        url = urllib.parse.urlsplit(args.endpoint)
        self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=args.timeout)
        self.path = url.path if url.path not in ("", "/") else "/v1/traces"
        self.headers = {"Content-Type": "application/x-protobuf", **dict(args.header)}
        self.gzip = args.gzip
        if args.gzip:
            self.headers["Content-Encoding"] = "gzip"

    def send(self, data: bytes):
        if self.gzip:
            data = gzip.compress(data, compresslevel=1)
        try:
            self.connection.request("POST", self.path, data, self.headers)
            response = self.connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            return type(error).__name__, True, b""
        if response.status == 200:
            return (
                None,
                False,
                body if "protobuf" in response.headers.get("Content-Type", "") else b"",
            )
        return f"HTTP {response.status}", response.status in RETRYABLE_HTTP, b""


class Load:
    def __init__(self, args):
        self.args = args
        if args.mix:
            from tests.bench.mix import build_mix

            self.pool = build_mix(args.mix, args.batch, args.seed)
        else:
            self.pool = build_pool(
                args.pool, args.batch, args.seed, loop_fraction=args.loop_fraction
            )
        self.lock = threading.Lock()
        self.payload_locks = [threading.Lock() for _ in self.pool]
        self.sequence = 0
        self.acked = self.rejected = self.dropped = self.sent_bytes = self.retries = 0
        self.errors: dict[str, int] = {}
        self.latencies: list[float] = []
        self.service: list[float] = []
        self.total = -(-args.runs // args.pool) * len(self.pool) if args.runs else None
        self.deadline = float("inf")

    def take(self) -> int | None:
        with self.lock:
            if self.total is not None and self.sequence >= self.total:
                return None
            if time.perf_counter() >= self.deadline:
                return None
            self.sequence += 1
            return self.sequence - 1

    def worker(self) -> None:
        args = self.args
        sender = (GrpcSender if args.protocol == "grpc" else HttpSender)(args)
        mean_spans = sum(p.spans for p in self.pool) / len(self.pool)
        while (number := self.take()) is not None:
            due = None
            if args.rate:
                due = self.started + number * mean_spans / args.rate
                if due >= self.deadline:
                    return
                time.sleep(max(0.0, due - time.perf_counter()))
            index = number % len(self.pool)
            payload = self.pool[index]
            with self.payload_locks[index]:
                data = payload.stamp(
                    args.first_pass + number // len(self.pool), time.time_ns() - 60 * 10**9
                )
            begin = time.perf_counter()
            error, retries = None, 0
            for attempt in range(args.retries + 1):
                error, retryable, response = sender.send(data)
                if error is None or not retryable or attempt == args.retries:
                    break
                retries += 1
                time.sleep(min(5.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))
            end = time.perf_counter()
            rejected = 0
            if response:
                rejected = ExportTraceServiceResponse.FromString(
                    response
                ).partial_success.rejected_spans
            with self.lock:
                self.retries += retries
                if error:
                    self.errors[error] = self.errors.get(error, 0) + 1
                    self.dropped += payload.spans
                    continue
                self.acked += payload.spans - rejected
                self.rejected += rejected
                self.sent_bytes += len(data)
                self.service.append(end - begin)
                self.latencies.append(end - (due if due is not None else begin))

    def run(self) -> dict:
        args = self.args
        before = tree_usage(args.pid)
        own = resource.getrusage(resource.RUSAGE_SELF)
        self.started = time.perf_counter() + (0.2 if args.rate else 0.0)
        if args.seconds:
            self.deadline = self.started + args.seconds
        threads = [threading.Thread(target=self.worker) for _ in range(args.concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - self.started
        own_after = resource.getrusage(resource.RUSAGE_SELF)
        own_cpu = own_after.ru_utime + own_after.ru_stime - own.ru_utime - own.ru_stime
        report = {
            "spans_acked": self.acked,
            "spans_rejected": self.rejected,
            "spans_dropped": self.dropped,
            "seconds": round(elapsed, 3),
            "spans_per_s": round(self.acked / elapsed),
            "mb_per_s": round(self.sent_bytes / elapsed / 1e6, 1),
            "bytes_per_span": round(self.sent_bytes / max(1, self.acked)),
            "requests_ok": len(self.service),
            "errors": self.errors,
            "retries": self.retries,
            "latency_ms": percentiles(self.latencies),
            "service_ms": percentiles(self.service),
            "generator_cpu_us_per_span": round(own_cpu / max(1, self.acked) * 1e6, 2),
        }
        if args.pid:
            after = tree_usage(args.pid)
            cpu = after["cpu_s"] - before["cpu_s"]
            report["server"] = {
                "cpu_s": round(cpu, 2),
                "cores_used": round(cpu / elapsed, 2),
                "cpu_s_per_1000_spans": round(cpu / max(1, self.acked) * 1000, 4),
                "peak_rss_mb": after["peak_rss_mb"],
            }
        return report


# --------------------------------------------------------------------------- measuring


def percentiles(values: list[float]) -> dict:
    if not values:
        return {}
    ordered = sorted(values)

    def pick(quantile: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] * 1e3, 2)

    return {
        "p50": pick(0.50),
        "p95": pick(0.95),
        "p99": pick(0.99),
        "max": round(ordered[-1] * 1e3, 2),
    }


def tree_usage(pid: int | None) -> dict:
    """CPU seconds and summed peak RSS of a process and its descendants (Linux)."""
    if not pid:
        return {"cpu_s": 0.0, "peak_rss_mb": 0}
    stats, parents = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                rest = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(name)] = int(rest[1])
        stats[int(name)] = (int(rest[11]) + int(rest[12])) / os.sysconf("SC_CLK_TCK")
    tree = {pid}
    while grown := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= grown
    peak = 0
    for member in tree:
        try:
            with open(f"/proc/{member}/status") as file:
                peak += next((int(line.split()[1]) for line in file if line.startswith("VmHWM")), 0)
        except OSError:
            pass
    return {"cpu_s": sum(stats.get(member, 0.0) for member in tree), "peak_rss_mb": peak // 1024}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--endpoint", default="127.0.0.1:4317")
    parser.add_argument("--protocol", choices=("grpc", "http"), default="grpc")
    parser.add_argument(
        "--runs", type=int, default=0, help="runs to send, rounded up to whole pools"
    )
    parser.add_argument("--seconds", type=float, default=0, help="stop after this long")
    parser.add_argument("--rate", type=float, default=0, help="open loop at this many spans/s")
    parser.add_argument(
        "--concurrency", type=int, default=4, help="senders, each with its own connection"
    )
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--batch", type=int, default=512, help="spans per request")
    parser.add_argument(
        "--pool", type=int, default=256, help="distinct runs built before the start"
    )
    parser.add_argument(
        "--mix", type=int, default=0, metavar="COPIES",
        help="send the spans of all captures, so many copies of each, instead of a pool of runs",
    )  # fmt: skip
    parser.add_argument(
        "--loop-fraction", type=float, default=0.02, help="runs that repeat one tool call"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--first-pass", type=int, default=0, help="first pass number, part of every id"
    )
    parser.add_argument("--retries", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--pid", type=int, help="server process: report its CPU and peak RSS")
    parser.add_argument("--write-payload", metavar="FILE", help="write the first request and exit")
    args = parser.parse_args(argv)
    args.header = [tuple(item.split("=", 1)) for item in args.header]
    if not (args.runs or args.seconds or args.write_payload):
        parser.error("give --runs or --seconds")
    return args


def main() -> None:
    args = parse_args()
    load = Load(args)
    if args.write_payload:
        with open(args.write_payload, "wb") as file:
            file.write(load.pool[0].stamp(args.first_pass, time.time_ns() - 60 * 10**9))
        return
    sys.stdout.write(json.dumps(load.run(), indent=1) + "\n")


if __name__ == "__main__":
    main()
