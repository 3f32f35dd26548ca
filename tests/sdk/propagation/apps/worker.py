"""A queue's worker: jobs are lines of JSON on standard input."""

from __future__ import annotations

import json
import sys

import otel_agentrun as agentrun

if __name__ == "__main__":
    agentrun.install(service_name="worker")
    for line in sys.stdin:
        job = json.loads(line)
        context = agentrun.extract(job["agentrun"])
        if job["agent"]:
            run = agentrun.run(job["agent"], context=context, execution="async")
            with run, agentrun.tool("print label"):
                pass
        else:
            with agentrun.attached(context), agentrun.tool("from the queue"):
                pass
