"""The event loop that the receivers under test run on, and the plainest pair of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.receiver.edge import Edge, FakeIntake, serving


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio", backend_options={"use_uvloop": True}) as portal:
        yield portal


@pytest.fixture(scope="session")
def shared_edge(portal: BlockingPortal) -> Iterator[Edge]:
    with serving(portal) as edge:
        yield edge


@pytest.fixture
def edge(shared_edge: Edge) -> Edge:
    """Receivers with default settings and no keys; intake and counters as new."""
    fresh = FakeIntake()
    for field in fields(FakeIntake):
        setattr(shared_edge.intake, field.name, getattr(fresh, field.name))
    stats = shared_edge.stats
    stats.requests.clear()
    stats.unexpected.clear()
    stats.wire_bytes.clear()
    stats.body_bytes.clear()
    stats.grpc_calls = stats.headers_ignored = 0
    return shared_edge
