"""The read endpoint inside of the collector's task group."""

from __future__ import annotations

import logging
import ssl

import anyio
from anyio.abc import TaskStatus

from collector.api.server import serve_api
from collector.clickhouse_http.app import ReadEndpoint

log = logging.getLogger(__name__)


async def serve_reads(
    endpoint: ReadEndpoint,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    optional: bool = False,
    task_status: TaskStatus[int | None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the bound port.

    `optional`: nobody chose the address, and a ClickHouse server of this machine may have it: then
    it reports `None`, and the collector does without.  Else raises OSError.
    """
    try:
        await serve_api(
            endpoint,
            host=host,
            port=port,
            tls=tls,
            name="read_endpoint",
            before_stop=endpoint.stop,
            task_status=task_status,
        )
    except OSError as error:
        if not optional:
            raise
        log.warning("read_endpoint_off", extra={"address": f"{host}:{port}", "error": str(error)})
        task_status.started(None)
    finally:
        endpoint.close()
