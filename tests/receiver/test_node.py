"""The unmodified OpenTelemetry Node SDK exports over gRPC, HTTP/protobuf and HTTP/JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.receiver.edge import Edge
from tests.support import node

HERE = Path(__file__).parent / "node"
EXPORT_SECS = 60


@pytest.fixture(scope="module")
def project() -> Path:
    return node.project(HERE / "package.json")


def test_node_sdk_exports_over_all_transports(edge: Edge, project: Path) -> None:
    """JSON has hex ids and 64-bit numbers as text or objects; the decoder's tests read such bodies,
    here they arrive whole, with their headers, and the SDK takes our answers for success."""
    shutil.copy(HERE / "export.mjs", project)
    done = subprocess.run(
        ["node", "export.mjs", f"http://{edge.grpc_target}", edge.http_url],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=EXPORT_SECS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"exported {name} {compression}"
        for compression in ("none", "gzip")
        for name in ("grpc", "proto", "json")
    ]
    requests = [
        (seen.encoding, seen.ingest.get("agentrun.request.id"), _names(seen.encoding, seen.body))
        for seen in edge.intake.calls
    ]
    assert requests == [
        (
            "json" if name == "json" else "protobuf",
            None if name == "grpc" else f"{name}-{compression}",
            ["agent.tool", f"agent.run {name} {compression}"],
        )
        for compression in ("none", "gzip")
        for name in ("grpc", "proto", "json")
    ]
    assert edge.outcomes() == {"ok": 6}


def _names(encoding: str, body: bytes) -> list[str]:
    """Span names of a request, in order."""
    if encoding == "json":
        spans = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        return [span["name"] for span in spans]
    request = ExportTraceServiceRequest.FromString(body)
    return [span.name for span in request.resource_spans[0].scope_spans[0].spans]
