"""What redaction costs per span.

Run: `python -m tests.bench.bench_redaction [--spans N] [--secrets K]`.

Spans like those of an agent run: about 1.4 KB and 12 attributes each, 512 in a batch.
`--secrets K` seeds one secret into K of 1000 spans.  Prints CPU microseconds per span as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time

import pyarrow as pa

from collector.redaction import ArrowRedactor
from otel_agentrun.redact import RedactSettings, detectors

TEXT = (
    "order refund invoice customer schedule delivery status account policy search result "
    "summary ticket contract region quarter revenue forecast latency deploy rollback index "
    "please check the following and explain what changed since last week before answering"
)
WORDS = TEXT.split()
BATCH_SPANS = 512


def prose(rng: random.Random, size: int) -> str:
    out: list[str] = []
    while size > 0:
        out.append(rng.choice(WORDS))
        size -= len(out[-1]) + 1
    return " ".join(out)


def attributes(rng: random.Random, secret: str) -> list[tuple[str, str]]:
    messages = [
        {"role": role, "parts": [{"type": "text", "content": prose(rng, 220) + secret}]}
        for role in ("user", "assistant", "user")
    ]
    return [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "gpt-4.1"),
        ("gen_ai.response.id", f"resp_{rng.getrandbits(96):024x}"),
        ("gen_ai.response.finish_reasons", '["stop"]'),
        ("gen_ai.usage.input_tokens", str(rng.randint(100, 4000))),
        ("gen_ai.conversation.id", f"conv-{rng.randint(0, 50)}"),
        ("user.id", f"user-{rng.randint(0, 500)}"),
        ("gen_ai.agent.name", "support-agent"),
        ("url.full", f"https://internal.example/api/v1/items/{rng.randint(0, 99999)}?expand=lines"),
        ("gen_ai.input.messages", json.dumps(messages)),
        ("gen_ai.tool.call.result", json.dumps({"rows": [prose(rng, 60) for _ in range(3)]})),
    ]


def batch(rng: random.Random, secrets_of_1000: int) -> tuple[pa.Array, pa.Array]:
    pairs: list[tuple[str, str]] = []
    for _ in range(BATCH_SPANS):
        seeded = rng.randrange(1000) < secrets_of_1000
        pairs += attributes(rng, f" sk-proj-{rng.getrandbits(160):040x}" if seeded else "")
    return pa.array([value for _, value in pairs]), pa.array([key for key, _ in pairs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_240)
    parser.add_argument("--secrets", type=int, default=0, help="of 1000 spans")
    options = parser.parse_args()
    rng = random.Random(1)
    batches = [batch(rng, options.secrets) for _ in range(max(1, options.spans // BATCH_SPANS))]
    spans = len(batches) * BATCH_SPANS
    size = sum(len(text) for pairs in batches for column in pairs for text in column.to_pylist())
    result: dict[str, float] = {"spans": spans, "bytes_per_span": round(size / spans)}
    for name, settings in (
        ("default", RedactSettings(key=bytes(32))),
        ("every_detector", RedactSettings(key=bytes(32), detectors=frozenset(detectors()))),
        ("structure", RedactSettings(key=bytes(32), content="structure")),
    ):
        redactor = ArrowRedactor(settings)
        rounds = []
        changed = 0
        for _ in range(5):
            started = time.thread_time()
            changed = sum(redactor.values(values, keys)[1] for values, keys in batches)
            rounds.append(time.thread_time() - started)
        result[f"{name}_us_per_span"] = round(sorted(rounds)[2] / spans * 1e6, 2)
        result[f"{name}_changed"] = changed
    json.dump(result, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
