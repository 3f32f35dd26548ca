"""A collector that passes on: real processes, real backends."""

from __future__ import annotations

import os
import re
import signal
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.config import load
from collector.errors import ConfigError
from collector.forward import spool
from collector.forward.forwarding import Forwarding
from collector.forward.settings import Backend
from collector.model import Signal
from tests.e2e.otlp import a_record, a_run, logs, trace_id, traces
from tests.e2e.talk import Talk, agentrun, eventually
from tests.forward.backends import Heard, Says, over_grpc, over_http
from tests.support.process import CollectorProcess
from tests.support.store import spans

FAST = {"store_flush_secs": 0.05}


def backend(name: str, port: int, **values: Any) -> dict[str, Any]:
    return {"name": name, "endpoint": f"http://127.0.0.1:{port}", **values}


def collector(folder: Path, *backends: dict[str, Any]) -> CollectorProcess:
    return CollectorProcess(folder / "data", forward=yaml.safe_dump(list(backends)), **FAST)


def counts(process: CollectorProcess, metric: str) -> dict[tuple[str, str], float]:
    """(backend, signal or reason) -> number."""
    lines = re.findall(
        rf'^{metric}(?:_total)?{{backend="(\w+)"(?:,\w+="(\w+)")?}} (\S+)$',
        process.get("/metrics"),
        re.MULTILINE,
    )
    return {(name, label): float(number) for name, label, number in lines}


def test_two_backends_get_redacted_and_enriched_spans(tmp_path: Path) -> None:
    """Over gRPC and HTTP, each what it wants; secrets were taken out before."""
    first, second = Heard(), Heard()
    secret = "sk-ant-api03-aB3dE5gH7jK9mN1pQ4sT6vW8xY0zC2fL5nR7uX9bD1g"
    run = a_run(trace_id("passed on"), {"note": secret})
    with ExitStack() as stack:
        grpc_port = stack.enter_context(over_grpc(first))
        http_port = stack.enter_context(over_http(second))
        wanted = backend("second", http_port, protocol="http", logs=True, match='kind == "model"',
                         headers={"x-api-key": "open sesame"})  # fmt: skip
        process = stack.enter_context(collector(tmp_path, backend("first", grpc_port), wanted))
        talk = Talk(process)
        talk.export(traces(run))
        talk.export(logs([a_record("note", {"kind": "model"}, trace=trace_id("passed on"))]))
        eventually(lambda: len(first.spans) == 4 and len(second.requests) >= 2)

        sent = {
            span.name: {each.key: each.value.string_value for each in span.attributes}
            for span in first.spans
        }
        assert {each["agentrun.run.id"] for each in sent.values()} == {trace_id("passed on")}
        assert sent["invoke_agent support"]["note"].startswith("[redacted:")
        assert secret not in str(first.requests)
        cost = next(s for s in first.spans if s.name.startswith("chat")).attributes
        assert {"agentrun.cost.usd": 0.00021}.items() <= {
            each.key: each.value.double_value for each in cost
        }.items()
        assert [name.partition(" ")[0] for name in second.names] == ["chat", "chat"]
        assert second.headers[0]["x-api-key"] == "open sesame"
        counted = eventually(
            lambda: (
                found
                if (found := counts(process, "agentrun_forwarded")).get(("second", "logs"))
                else None
            )
        )
        assert counted[("first", "traces")] == 4
        assert counted[("second", "traces")] == 2
        assert counts(process, "agentrun_forward_skipped")[("second", "traces")] == 2


def test_kill_9_loses_nothing_for_a_backend(tmp_path: Path) -> None:
    """The backend is down, collector and sender are killed, everything comes up again: each span
    arrives, at least once."""
    heard = Heard()
    with over_grpc(heard) as port:
        pass
    process = collector(tmp_path, backend("b", port)).start()
    talk = Talk(process)
    try:
        for number in range(3):
            talk.export(traces(a_run(trace_id(f"killed {number}"))))
        process.settle()
        process.kill()
        with over_grpc(heard, port):
            process.start()
            eventually(lambda: len({span.span_id for span in heard.spans}) == 12)
            Talk(process).export(traces(a_run(trace_id("after"))))
            eventually(lambda: len({span.span_id for span in heard.spans}) == 16)
            eventually(lambda: counts(process, "agentrun_forward_pending_items")[("b", "")] == 0)
            assert not counts(process, "agentrun_forward_dropped")
    finally:
        process.kill()


def test_the_sender_is_started_again_when_it_dies(tmp_path: Path) -> None:
    heard = Heard()
    with over_grpc(heard) as port:
        forwarding = Forwarding(
            [Backend(name="b", endpoint=f"http://127.0.0.1:{port}", directory=str(tmp_path / "b"))]
        )
        forwarding.start()
        os.kill(eventually(lambda: forwarding.pid), signal.SIGKILL)
        forwarding.take(spans=[spans({"SpanName": "after"})], logs=[], steps=[], runs=[])
        eventually(lambda: heard.names == ["after"])
        eventually(lambda: forwarding.tallies()["b"].pending_items == 0)
        forwarding.close()


def test_a_buffer_that_is_full_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    """Bounded, counted by backend and reason, and a warning; other backends lose nothing."""
    heard = Heard()
    with over_grpc(heard) as port:
        pass
    backends = [
        Backend(
            name=name,
            endpoint=f"http://127.0.0.1:{port}",
            directory=str(tmp_path / name),
            buffer_bytes_max=size,
        )
        for name, size in (("small", 3 * spool.BLOCK_BYTES * 4), ("large", 1 << 20))
    ]
    forwarding = Forwarding(backends)  # nothing sends
    for number in range(20):
        batch = spans(*({"SpanId": f"{number:08x}{n:08x}"} for n in range(2)))
        forwarding.take(spans=[batch], logs=[], steps=[], runs=[])

    small, large = forwarding.tallies()["small"], forwarding.tallies()["large"]
    assert small.pending_bytes <= 3 * spool.BLOCK_BYTES * 4
    assert small.dropped["buffer_full"] + small.pending_items == 40
    assert 0 < small.pending_items < 40
    assert (large.pending_items, sum(large.dropped.values())) == (40, 0)
    newest = max(spool.listed(tmp_path / "large"))
    assert newest in spool.listed(tmp_path / "small")
    assert [what for what, _ in forwarding.troubles()] == [
        f"small lost items since the start: {small.dropped['buffer_full']} buffer_full"
    ]


def test_a_disk_that_fails_costs_only_what_is_forwarded(tmp_path: Path) -> None:
    forwarding = Forwarding(
        [Backend(name="b", endpoint="http://127.0.0.1:1", directory=str(tmp_path / "b"))]
    )
    (tmp_path / "b").rmdir()

    forwarding.take(spans=[spans({}, {"SpanId": "1" * 16})], logs=[], steps=[], runs=[])

    assert forwarding.tallies()["b"].dropped == {"disk": 2}


def test_what_waits_is_erased_too(tmp_path: Path) -> None:
    """`runs delete` reaches the spool: nothing of the run is on disk, nor sent later."""
    heard = Heard()
    with over_grpc(heard) as port:
        pass
    with collector(tmp_path, backend("b", port)) as process:
        talk = Talk(process)
        talk.export(traces(a_run(trace_id("kept"))))
        talk.export(traces(a_run(trace_id("erased"))))
        process.settle()
        url = f"http://127.0.0.1:{process.ports['api']}"
        agentrun("runs", "delete", trace_id("erased"), "--yes", "--collector", url)
        with over_grpc(heard, port):
            eventually(lambda: len(heard.spans) >= 4)
            eventually(lambda: counts(process, "agentrun_forward_pending_items")[("b", "")] == 0)

    assert {span.trace_id.hex() for span in heard.spans} == {trace_id("kept")}


def test_slow_backends_do_not_slow_what_comes_in(tmp_path: Path) -> None:
    """The same requests, in turns, to a collector whose backends hang and to one without any."""
    heard = Heard(always=Says(wait_secs=2.0))
    latencies: dict[str, list[float]] = {"without": [], "slow": []}
    with ExitStack() as stack:
        backends = [
            backend(name, stack.enter_context(over(heard)), protocol=protocol, timeout_secs=0.5)
            for name, protocol, over in (("b", "grpc", over_grpc), ("c", "http", over_http))
        ]
        slow = stack.enter_context(collector(tmp_path / "slow", *backends))
        without = stack.enter_context(collector(tmp_path / "without"))
        for number in range(30):
            for name, process in (("slow", slow), ("without", without)):
                request = traces(a_run(trace_id(f"{name} {number}")))
                began = time.perf_counter()
                Talk(process).export(request)
                latencies[name].append(time.perf_counter() - began)
        slow.settle()
        assert slow.terms()["stored"] == 120

        eventually(lambda: counts(slow, "agentrun_forward_failures"))
        ready = slow.get("/readyz")
        assert ready["ready"], "a backend that is behind is a warning, not a failure"
        check = next(each for each in ready["checks"] if each["check"] == "forward")
        assert check["status"] == "warn"
        assert "b is" in check["message"]
        assert "Check http://127.0.0.1" in check["hint"]
    ratio = statistics.median(latencies["slow"]) / statistics.median(latencies["without"])
    assert ratio < 2.0, latencies


BAD = """
forward:
  - {name: a, endpoint: "localhost:4317"}
  - {name: b, endpoint: "http://localhost:4317"}
  - {name: c, endpoint: "https://x:4317", headers_env: {x-key: NOT_SET}}
  - {name: d, endpoint: "https://y:4317", match: "kind =="}
  - {name: d, endpoint: "https://z:4317", headers: {x: "1"}, headers_file: {X: /k}}
  - {name: e, endpoint: "http://z:9", tls: {ca_file: /no/such/file}}
  - {name: f, endpoint: "http://z:9", protocol: thrift}
"""


def test_mistakes_of_the_config_are_all_said(tmp_path: Path) -> None:
    file = tmp_path / "agentrun.yaml"
    file.write_text(BAD)

    with pytest.raises(ConfigError) as raised:
        load(file, {})
    said = str(raised.value)

    for key, words in {
        "forward[0].endpoint": "`http://` or `https://`",
        "forward[3].match": "expression",
        "forward[6].protocol": "`grpc` or `http`",
    }.items():
        assert key in said
        assert words in said
    file.write_text("\n".join(line for line in BAD.splitlines() if not re.search("[adf],", line)))
    with pytest.raises(ConfigError) as raised:
        load(file, {})
    said = str(raised.value)
    assert "this collector listens there itself" in said
    assert "an unset or empty variable" in said
    assert "`/no/such/file`" in said
    assert "an `https://` endpoint" in said


def test_headers_come_from_variables_and_are_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "agentrun.yaml"
    file.write_text(
        "forward: [{name: v, endpoint: 'https://v:4317', headers_env: {x-key: V_KEY}}]\n"
    )

    config = load(file, {"V_KEY": "secret-value"})

    assert config.forward[0].headers["x-key"] == "secret-value"
    assert "secret-value" not in repr(config)


def test_files_of_others_in_a_spool_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "README").write_text("mine")
    (folder / "x-traces-1.waiting").write_text("mine")

    assert spool.listed(folder) == {}
    name = spool.Name(5, Signal.LOGS, 3)
    assert spool.parse(name.waiting) == spool.parse(name.claimed) == name
