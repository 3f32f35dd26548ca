"""A background job: ordered in one run, done by a worker when that run is long over."""

from __future__ import annotations

import json
from queue import SimpleQueue

import otel_agentrun as agentrun
from collector.demo.scripted_model import ScriptedModel, says

Jobs = SimpleQueue[str | None]
"""JSON, as any queue carries it; `None` ends the worker."""


def order_statement(jobs: Jobs, customer: str) -> None:
    """The application: who orders the job goes into its payload."""
    with agentrun.run("front_desk", input="All my invoices, please.", user=customer) as run:
        with agentrun.tool("order_statement", arguments={"customer": customer}) as step:
            jobs.put(json.dumps({"customer": customer, "agentrun": agentrun.inject()}))
            step.result("ordered")
        run.respond("You will get them by mail.")


def work(jobs: Jobs) -> None:
    """The worker: elsewhere a process of its own.  All it knows is the payload."""
    while (payload := jobs.get()) is not None:
        job = json.loads(payload)
        with agentrun.run(
            "statement_agent",
            context=agentrun.extract(job["agentrun"]),
            trigger="job",
            execution="async",
        ) as run:
            write_statement(job["customer"])
            run.result(f"statements/{job['customer']}.pdf", type="application/pdf")


def write_statement(customer: str) -> None:
    client = ScriptedModel("gpt-4.1-mini", [says("Two invoices.", tokens=(902, 0, 160))])
    task = f"Write the statement of {customer}."
    with agentrun.model("gpt-4.1-mini", provider="openai", messages=task) as call:
        call.response(client.complete([{"role": "user", "content": task}]))
