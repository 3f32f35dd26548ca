"""What `agentrun doctor` looks at when no collector runs: the machine, the folder, the store."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from collector.api.health import Check, Finding, Status, disk_check, failure, probe
from collector.api.service import Operations
from collector.api.values import Document

FREE_MIN_BYTES: Final = 2 << 30
"""Below this the embedded store cannot merge what a busy day writes."""
RELEASED_NS: Final = 1_735_689_600_000_000_000
"""2025-01-01: a clock before this is wrong."""


def examine(
    *,
    ports: Mapping[str, tuple[str, int]],
    data_dir: Path,
    open_store: Callable[[], AbstractContextManager[Operations]],
    now_ns: Callable[[], int] = time.time_ns,
) -> list[Document]:
    """Findings in the order in which to repair them.  `ports`: name -> (host, port)."""
    checks: list[tuple[str, Check]] = [("clock", lambda: clock(now_ns()))]
    checks += [
        (name, lambda name=name, at=at: port_free(name, *at))  # type: ignore[misc]  # bound now
        for name, at in ports.items()
    ]
    checks.append(("journal", lambda: writable(data_dir)))
    checks.append(("disk", disk_check(nearest(data_dir), free_min_bytes=FREE_MIN_BYTES)))
    findings = []
    for name, check in checks:
        try:
            findings.append(check().document())
        except Exception as error:  # one broken check must not hide the others
            findings.append(failure(name, error).document())
    return findings + store(open_store)


def clock(now_ns: int) -> Finding:
    """Spans with impossible times are refused, so a clock that was never set refuses them all."""
    if now_ns >= RELEASED_NS:
        said = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now_ns // 1_000_000_000))
        return Finding(check="clock", status=Status.OK, message=f"{said} UTC")
    return Finding(
        check="clock",
        status=Status.FAIL,
        message="this machine's clock is before 2025",
        hint="Set the clock (NTP); spans more than a day ahead of it are refused.",
    )


def port_free(name: str, host: str, port: int) -> Finding:
    """Could a collector listen there?"""
    check = f"port {name}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            return Finding(
                check=check,
                status=Status.FAIL,
                message=f"{host}:{port} {'is taken' if taken else f'cannot be used: {error}'}",
                hint="Stop what listens there, or set another port in the config.",
            )
    return Finding(check=check, status=Status.OK, message=f"{host}:{port} is free")


def writable(data_dir: Path) -> Finding:
    """Can a file be written and synced where the journal goes (or where it would be made)?"""

    def write() -> None:
        with tempfile.TemporaryFile(dir=nearest(data_dir)) as file:
            file.write(b"agentrun")
            file.flush()
            os.fsync(file.fileno())

    return probe("journal", write, f"{data_dir} can be written and synced")()


def nearest(path: Path) -> Path:
    """The path itself, or the closest parent that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def store(open_store: Callable[[], AbstractContextManager[Operations]]) -> list[Document]:
    """What the store says of itself: reachable, schema version, clock."""
    try:
        with open_store() as operations:
            return operations.doctor()
    except Exception as error:  # whatever keeps a store from opening is the finding
        return [failure("store", error).document()]
