"""The application.  `install` is all that OpenTelemetry needs; `OTEL_*` variables say where to."""

from __future__ import annotations

import contextlib
from threading import Thread

import otel_agentrun as agentrun
from collector.demo import analyst, basics, cases
from collector.demo.jobs import Jobs, order_statement, work
from collector.demo.own_account import DemoRun
from collector.demo.scripted_model import ModelOverloadedError
from collector.demo.shop import Shop
from collector.demo.support import Agent, MaxTurnsExceeded


def main() -> None:
    installed = agentrun.install(
        service_name="support-desk",
        resource={"service.version": "2.3.0", "deployment.environment.name": "demo"},
    )
    runs: list[agentrun.Run] = []
    agentrun.on("start")(runs.append)

    open_the_desk()

    installed.flush()
    for run in runs:
        print(DemoRun.of(run).to_json())  # noqa: T201  # what `agentrun demo` compares


def open_the_desk() -> None:
    """A day's work, in about a second."""
    basics.greet("Anna")
    basics.are_you_open("saturday")
    basics.answer_from_policies("Can I return a saddle?", user="user-anna")

    support = agents(Shop())
    for case in cases.CASES:
        # The desk stays open: the customer gets an apology, the run is there to be looked at.
        with contextlib.suppress(MaxTurnsExceeded, ModelOverloadedError):
            support.answer(case)

    analyst.report("What do customers ask most?")

    jobs = Jobs()
    order_statement(jobs, "user-ben")
    jobs.put(None)
    worker = Thread(target=work, args=(jobs,))
    worker.start()
    worker.join()


def agents(shop: Shop) -> Agent:
    billing = Agent(
        name="billing_agent",
        provider="anthropic",
        model="claude-sonnet-4-5",
        prompt="billing",
        instructions=cases.BILLING_INSTRUCTIONS,
        tools=shop.tools,
    )
    return Agent(
        name="support_agent",
        provider="openai",
        model="gpt-4.1-mini",
        prompt="support",
        instructions=cases.INSTRUCTIONS,
        tools=shop.tools,
        colleagues={"transfer_to_billing_agent": billing},
    )


if __name__ == "__main__":
    main()
