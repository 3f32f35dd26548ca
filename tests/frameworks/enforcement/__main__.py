"""`python -m tests.frameworks.enforcement [FRAMEWORK]...`: play, and print what happened."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.frameworks.enforcement.catalog import FRAMEWORKS
from tests.frameworks.enforcement.session import Played, play


def summary(played: Played) -> str:
    lines = [f"{played.framework.title}: {played.secs:.1f} s"]
    for name, result in played.results.items():
        document = played.documents.get(result["run_id"], {}).get("run", {})
        following = result["next"]
        lines.append(
            f"  {name:20} {result['error'] or '-':16} {result['stop'].get('reason', '-'):18} "
            f"gate={result['gate'] or '-':6} models={played.models.get(name, 0):3} "
            f"tools={result['tools']:3} {document.get('status')}/{document.get('stop_reason')} "
            f"cleaned={result['is_cleaned_up']} next={following['answer']}/{following['error']} "
            f"{result['secs']} s {'' if result['stop'] else result['message'][:200]}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    for name in sys.argv[1:] or [framework.name for framework in FRAMEWORKS]:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(f"{summary(play(name, Path(folder)))}\n")
