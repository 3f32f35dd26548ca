"""Write `dashboards/json` and docs/grafana.md anew: `make dashboards`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards.build import Dashboard, built
from tools.dashboards.collector import COLLECTOR
from tools.dashboards.fleet import FLEET
from tools.dashboards.page import PAGE, page
from tools.dashboards.run import RUN
from tools.dashboards.runs import RUNS

FOLDER: Final = Path(__file__).parents[2] / "dashboards" / "json"
DASHBOARDS: Final[tuple[Dashboard, ...]] = (FLEET, RUNS, RUN, COLLECTOR)
"""All there are, in the order of their numbers."""


def documents() -> dict[str, str]:
    """File name -> JSON."""
    return {f"{board.uid}.json": rendered(board) for board in DASHBOARDS}


def rendered(board: Dashboard) -> str:
    """Classic dashboard JSON, the same for the same sources."""
    document = json.loads(json.dumps(built(board), cls=JSONEncoder))
    document["id"] = None
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    PAGE.write_text(page(DASHBOARDS), encoding="utf-8")
    for path in FOLDER.glob("*.json"):
        if path.name not in documents():
            path.unlink()


if __name__ == "__main__":
    main()
