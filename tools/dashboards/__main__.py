"""Write dashboards/json, dashboards/alerting and docs/grafana.md anew: `make dashboards`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards import alerts
from tools.dashboards.build import Dashboard, built
from tools.dashboards.collector import COLLECTOR
from tools.dashboards.cost import COST
from tools.dashboards.fleet import FLEET
from tools.dashboards.multi import MULTI
from tools.dashboards.page import PAGE, page
from tools.dashboards.retrieval import RETRIEVAL
from tools.dashboards.rules import RULES
from tools.dashboards.run import RUN
from tools.dashboards.runs import RUNS
from tools.dashboards.tools import TOOLS
from tools.dashboards.versions import VERSIONS

FOLDER: Final = Path(__file__).parents[2] / "dashboards"
DASHBOARDS: Final[tuple[Dashboard, ...]] = (
    FLEET,
    RUNS,
    RUN,
    COST,
    RULES,
    TOOLS,
    RETRIEVAL,
    VERSIONS,
    MULTI,
    COLLECTOR,
)
"""All there are, in the order of their numbers."""


def documents() -> dict[str, str]:
    """Path below `dashboards/` -> text."""
    boards = {f"json/{board.uid}.json": rendered(board) for board in DASHBOARDS}
    rules = {f"alerting/{name}.yaml": alerts.rendered(name, g) for name, g in alerts.GROUPS.items()}
    return boards | rules


def rendered(board: Dashboard) -> str:
    """Classic dashboard JSON, the same for the same sources."""
    document = json.loads(json.dumps(built(board), cls=JSONEncoder))
    document["id"] = None
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    written = documents()
    for name, text in written.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")
    PAGE.write_text(page(DASHBOARDS, alerts.GROUPS), encoding="utf-8")
    for path in committed():
        if path.relative_to(FOLDER).as_posix() not in written:
            path.unlink()


def committed() -> list[Path]:
    """What is there already."""
    return [*FOLDER.glob("json/*.json"), *FOLDER.glob("alerting/*.yaml")]


if __name__ == "__main__":
    main()
