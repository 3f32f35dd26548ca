"""`python -m tests.frameworks.enforcement [--write] [FRAMEWORK]...`: play, print what happened, and
record it for docs/enforcement.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.frameworks.enforcement import outcome, page
from tests.frameworks.enforcement.catalog import FRAMEWORKS
from tests.frameworks.enforcement.session import Played, play


def summary(played: Played) -> str:
    lines = [f"{played.framework.title}: {played.secs:.1f} s"]
    recorded = outcome.outcomes(played)["plays"]
    for key, result in played.results.items():
        run = played.documents.get(result["run_id"], {}).get("run", {})
        following = result["next"]
        lines.append(
            f"  {key:20} {recorded[key]:36} {result['stop'].get('reason', ''):18} "
            f"models={played.models.get(key, 0):3} tools={result['tools']:3} "
            f"run={run.get('status', '')}/{run.get('stop_reason', '')} held={played.held.get(key)} "
            f"cleaned={result['is_cleaned_up']} next={following['answer']} {following['error']} "
            f"{result['secs']} s {'' if result['stop'] else result['message'][:200]}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if word != "--write"]
    for name in names or [framework.name for framework in FRAMEWORKS]:
        with tempfile.TemporaryDirectory() as folder:
            played = play(name, Path(folder))
        sys.stdout.write(f"{summary(played)}\n")
        if "--write" in sys.argv:
            outcome.record(played)
            page.write()
