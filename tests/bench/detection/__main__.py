"""Print the report: `python -m tests.bench.detection`."""

from __future__ import annotations

import sys

from tests.bench.detection.measure import measure
from tests.bench.detection.trajectories import FILE, VARIABLE


def main() -> int:
    report = measure()
    if not report.trajectories:
        sys.stderr.write(f"Error: no trajectories.\n  Fix: set {VARIABLE} to {FILE}.\n")
        return 1
    out = sys.stdout
    share = len({number for number, _ in report.flagged}) / report.trajectories
    out.write(f"{report.trajectories} trajectories, {share:.1%} flagged as loops:\n")
    for number, finding in report.flagged:
        out.write(f"  {number}: {finding.explanation}\n      {', '.join(finding.span_ids)}\n")
    out.write(f"\n{'pattern':16} {'injected':>8} {'in time':>8} {'recall':>7} {'precision':>9}\n")
    for pattern, score in report.scores.items():
        out.write(
            f"{pattern:16} {score.injected:8} {score.found:8} {score.recall:7.3f} "
            f"{score.precision:9.3f}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
