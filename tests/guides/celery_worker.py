"""A worker and a sender of docs/guides/background-jobs.md, in one process."""

from __future__ import annotations

from celery.contrib.testing.worker import start_worker
from tasks import app, send_invoice

import otel_agentrun as agentrun

app.conf.update(
    result_backend="cache+memory://",
    broker_connection_retry_on_startup=False,
    broker_transport_options={"polling_interval": 0.05},
)
with start_worker(app, perform_ping_check=False), agentrun.run("desk") as run:
    print(run.run_id)  # noqa: T201
    assert send_invoice.delay(7).get(timeout=30) == "invoice-7.pdf"
