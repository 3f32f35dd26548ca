"""`agentrun doctor` on a machine without a collector: real ports, folders and clocks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.api.service import Operations
from collector.api.values import Document
from collector.cli.doctor import RELEASED_NS, examine
from collector.errors import StoreError
from tests.api.fakes import NOON_NS, FakeOperations


@contextmanager
def a_store() -> Iterator[Operations]:
    yield FakeOperations()


def by_check(findings: list[Document]) -> dict[str, Document]:
    assert all(bool(finding["hint"]) == (finding["status"] != "ok") for finding in findings)
    return {finding["check"]: finding for finding in findings}


def test_a_machine_where_all_is_well(tmp_path: Path) -> None:
    """The data folder need not exist yet: `agentrun up` makes it."""
    with socket.create_server(("127.0.0.1", 0)) as once_free:
        port = once_free.getsockname()[1]
    found = by_check(
        examine(
            ports={"OTLP/gRPC": ("127.0.0.1", port)},
            data_dir=tmp_path / "not" / "yet",
            open_store=a_store,
            now_ns=lambda: NOON_NS,
        )
    )
    for check in ("clock", "port OTLP/gRPC", "journal"):
        assert found[check]["status"] == "ok", found[check]
    assert "disk" in found
    assert not (tmp_path / "not").exists()


def test_what_is_wrong_is_named_with_what_to_do(tmp_path: Path) -> None:
    """A taken port, a file where the folder should be, an unset clock, a store that is held."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")

    @contextmanager
    def held() -> Iterator[Operations]:
        raise StoreError("process 7 holds the store", "Stop it, or ask it with --collector.")
        yield FakeOperations()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ("127.0.0.1", taken.getsockname()[1])
        findings = examine(
            ports={"API": address, "far": ("192.0.2.1", 4317)},
            data_dir=blocked,
            open_store=held,
            now_ns=lambda: RELEASED_NS - 1,
        )
    found = by_check(findings)
    assert "is taken" in found["port API"]["message"]
    assert "cannot be used" in found["port far"]["message"]
    assert found["clock"]["status"] == "fail"
    assert found["journal"]["status"] == "fail"
    assert found["store"]["hint"] == "Stop it, or ask it with --collector."
