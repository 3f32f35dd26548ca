"""Rules: what one step costs, alone and in the fold, with the rules that apply without a file.

python -m tests.bench.bench_rules
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from collector.runs.assembler import Assembler
from collector.runs.judge import RulesInForce
from otel_agentrun.rules import DEFAULTS, Ruleset, RulesFile, Seen, Watch
from otel_agentrun.sketch import _of, sketch
from otel_agentrun.step import Step
from tests.bench.bench_fold import BATCH, batches, steps_of

SPANS = 50_000
RUNS = 2_000
SPANS_PER_RUN = 25
REPEATS = 3
RULES = Ruleset(RulesFile(), DEFAULTS)
TEXT = (
    "order refund invoice customer schedule delivery status account policy search result summary "
    "ticket contract region quarter revenue forecast latency deploy rollback index change review"
)
WORDS = TEXT.split()


def watch() -> Watch:
    return Watch(RULES.select({}))


def alone(seen: list[Seen], batch: int) -> None:
    found = watch()
    for at in range(0, len(seen), batch):
        found.add(seen[at : at + batch])
    found.findings()


def folded(steps: Iterable[list[Step]], rules: RulesInForce | None) -> None:
    assembler = Assembler(rules=rules)
    for batch in steps:
        assembler.add(batch, 1)
        assembler.changes()


def rows() -> Iterator[list[Step]]:
    """One span of each of many open runs at a time, in requests of several runs."""
    runs = [list(steps_of(run, SPANS_PER_RUN, root=False)) for run in range(RUNS)]
    for row in zip(*runs, strict=True):
        yield from batches(list(row))


def best(work: Callable[[], None]) -> float:
    """CPU seconds of the fastest of a few times."""
    spent = []
    for _ in range(REPEATS):
        gc.collect()
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def show(what: str, figure: float, unit: str) -> None:
    sys.stdout.write(f"{what:64} {figure:8.2f} {unit}\n")


def main() -> None:
    steps = list(steps_of(0, SPANS))
    seen = [Seen(step, 1000) for step in steps]
    us = 1e6 / len(steps)
    show(f"default rules alone, {BATCH} steps at a time", best(lambda: alone(seen, BATCH)) * us,
         "us/step")  # fmt: skip
    show("  one step at a time", best(lambda: alone(seen, 1)) * us, "us/step")
    loop = [Seen(step, 1000) for step in steps if step.tool_name][:10_000]
    for each in loop:
        each.step.arguments_digest = "same"
    show("  a run that does nothing but repeat one call",
         best(lambda: alone(loop, BATCH)) / len(loop) * 1e6, "us/step")  # fmt: skip
    late = seen[:5000]
    for at in range(0, len(late) - 1, 2):
        late[at], late[at + 1] = late[at + 1], late[at]
    show("  every second step out of order, one at a time",
         best(lambda: alone(late, 1)) / len(late) * 1e6, "us/step")  # fmt: skip
    for number, each in enumerate(loop):
        words = " ".join(WORDS[(number * 7 + at) % len(WORDS)] for at in (0, 3, 11, 18, 23))
        each.step.arguments_digest = f"{number:016x}"
        each.sketch = sketch({"query": words, "limit": 10})
    show("  calls of one tool with other words each",
         best(lambda: alone(loop, BATCH)) / len(loop) * 1e6, "us/step")  # fmt: skip
    texts = [
        json.dumps({"query": f"{one} {other}", "limit": 10}) for one in WORDS for other in WORDS
    ]
    show("sketch of arguments that are seen for the first time",
         best(lambda: deque(map(_of, texts), 0)) / len(texts) * 1e6, "us/call")  # fmt: skip
    rules = RulesInForce(RULES)
    large = list(batches(list(steps_of(0, SPANS))))
    without, with_ = best(lambda: folded(large, None)), best(lambda: folded(large, rules))
    show("fold of one large run, without rules", without * us, "us/span")
    show("  with the default rules", with_ * us, "us/span")
    many = list(rows())
    us = 1e6 / sum(map(len, many))
    without, with_ = best(lambda: folded(many, None)), best(lambda: folded(many, rules))
    show(f"fold of {RUNS:,} open runs, one span of each in a flush", without * us, "us/span")
    show("  with the default rules", with_ * us, "us/span")


if __name__ == "__main__":
    gc.disable()
    main()
