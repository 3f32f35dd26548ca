"""The dashboards' JSON: current, complete, and the same SQL as `agentrun stats`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from collector.accounting import Accounting
from collector.api.metrics import Metrics
from collector.cli.main import main
from collector.dashboards import query
from collector.dashboards.macros import expand
from collector.dashboards.stats import StatQuery
from collector.receiver.stats import ReceiverStats
from tools.dashboards.__main__ import DASHBOARDS, FOLDER, committed, documents
from tools.dashboards.alerts import GROUPS, Alert
from tools.dashboards.build import Shown
from tools.dashboards.page import PAGE, page

DOCUMENTS = {
    name.removeprefix("json/"): json.loads(text)
    for name, text in documents().items()
    if name.startswith("json/")
}
PANELS = [
    (name, panel)
    for name, document in DOCUMENTS.items()
    for panel in document["panels"]
    if panel["type"] != "row"
]
HOUR_NS = 3_600_000_000_000
BUILT_IN = {"__rate_interval"}


def named(value: object) -> str:
    return value if isinstance(value, str) else value["title"] if isinstance(value, dict) else ""


def test_the_json_is_what_the_sources_give() -> None:
    """Somebody changed a query or a panel: `make dashboards` writes the JSON anew."""
    found = {
        path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in committed()
    }
    assert found == documents(), "dashboards/ is stale: run `make dashboards`"
    wanted = page(DASHBOARDS, GROUPS)
    assert PAGE.read_text(encoding="utf-8") == wanted, "docs/grafana.md is stale"


@pytest.mark.parametrize(("file", "panel"), PANELS, ids=named)
def test_a_panel_explains_itself(file: str, panel: dict[str, Any]) -> None:
    """Title, description, data source by variable, and words for emptiness."""
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert panel["datasource"]["uid"] in ("${ds}", "${prometheus}")
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    if panel["type"] not in ("traces", "logs"):
        assert panel["fieldConfig"]["defaults"]["noValue"]
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


@pytest.mark.parametrize("file", DOCUMENTS)
def test_a_dashboard_is_one_that_grafana_loads(file: str) -> None:
    """Classic JSON with distinct panel ids, no overlap, and every variable that is used."""
    document = DOCUMENTS[file]
    assert document["schemaVersion"] in range(39, 43)
    assert document["uid"] == file.removesuffix(".json")
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    defined = {variable["name"] for variable in document["templating"]["list"]}
    for text in (
        one.get("rawSql") or one.get("expr")
        for panel in document["panels"]
        for one in panel.get("targets", ())
    ):
        used = set(re.findall(r"\$\{?([a-z]\w*)", text)) - BUILT_IN
        assert used <= defined, f"{used - defined}: not a variable of {file}"


def test_links_lead_to_dashboards_and_variables_that_exist() -> None:
    """From the fleet to runs to a run, keeping time, data source and filters."""
    defined = {
        document["uid"]: {variable["name"] for variable in document["templating"]["list"]}
        for document in DOCUMENTS.values()
    }
    followed = set()
    for document in DOCUMENTS.values():
        assert document["links"][0]["keepTime"]
        assert document["links"][0]["includeVars"]
        for url in re.findall(r'"url": "(/d/[^"]+)"', json.dumps(document)):
            target = re.match(r"/d/([\w-]+)\?", url)
            assert target, url
            assert set(re.findall(r"var-(\w+)=", url)) <= defined[target[1]], url
            if "${by:text}" in url:
                (by,) = [v for v in document["templating"]["list"] if v["name"] == "by"]
                assert {option["text"] for option in by["options"]} <= defined[target[1]]
            passed_on = set(re.findall(r"\$\{(\w+):queryparam\}", url))
            assert passed_on <= {v["name"] for v in document["templating"]["list"]}, url
            assert {"ds", "database"} <= passed_on, url
            assert "${__url_time_range}" in url
            followed.add((document["uid"], target[1]))
    assert ("agentrun-runs", "agentrun-run") in followed
    assert ("agentrun-fleet", "agentrun-runs") in followed
    assert ("agentrun-run", "agentrun-run") in followed


@pytest.mark.parametrize(
    "shown",
    [one for board in DASHBOARDS for one in board.shown],
    ids=lambda one: f"{one.name}-{one.by}",
)
def test_a_panel_and_its_stat_ask_the_same(shown: Shown) -> None:
    """Issue 6: what stands in the JSON and what `agentrun stats` sends is one text once the macros
    are expanded."""
    (document,) = [DOCUMENTS[f"{board.uid}.json"] for board in DASHBOARDS if shown in board.shown]
    title = shown.title or shown.query.title
    (panel,) = [one for name, one in PANELS if one["title"] == title and one in document["panels"]]
    asked = shown.query
    for by in [shown.by] if shown.by or not asked.dimensions else asked.dimensions:
        filters = {name: f"a {name}'s" for name in asked.filters if name != "level"}
        stat = StatQuery(
            name=shown.name, by=by, since_ns=HOUR_NS, until_ns=30 * HOUR_NS, filters=filters
        )
        context = stat.context(asked, "db")
        assert expand(panel["targets"][0]["rawSql"], context) == asked.runnable(context)


def test_every_query_is_shown_and_every_panel_has_a_query() -> None:
    """A figure that nobody sees is not looked after."""
    shown = {one.name for board in DASHBOARDS for one in board.shown}
    alerts = {
        alert.name for group in GROUPS.values() for alert in group if isinstance(alert, Alert)
    }
    assert shown | alerts == set(query.names())


def test_alert_rules_are_what_grafana_provisions() -> None:
    """Distinct ids, a query on the provisioned data source, a threshold on it, and a dashboard."""
    source = yaml.safe_load((FOLDER / "provisioning" / "datasource.yaml").read_text())
    uids = [one["uid"] for one in source["datasources"]]
    found = []
    for name in GROUPS:
        (group,) = yaml.safe_load((FOLDER / "alerting" / f"{name}.yaml").read_text())["groups"]
        for rule in group["rules"]:
            found.append(rule["uid"])
            asked, judged = rule["data"]
            assert asked["datasourceUid"] in uids
            assert asked["model"]["datasource"]["uid"] in uids
            said = asked["model"].get("rawSql") or asked["model"]["expr"]
            assert not re.search(r"\$(?!__)", said), "an alert rule has no variables"
            assert judged["model"]["expression"] == asked["refId"]
            assert rule["condition"] == judged["refId"]
            assert rule["annotations"]["dashboard"].removeprefix("/d/") + ".json" in DOCUMENTS
    assert len(found) == len(set(found))


def test_metrics_that_panels_ask_for_exist() -> None:
    """A renamed metric would leave an empty panel."""
    rendered = Metrics(
        Accounting(),
        gauges={
            name: lambda: 1.0
            for name in (
                "agentrun_journal_bytes", "agentrun_journal_bytes_max", "agentrun_open_runs",
                "agentrun_open_steps", "agentrun_open_groups",
            )
        },
        receiver=ReceiverStats(),
    ).render().decode()  # fmt: skip
    declared = set(re.findall(r"^# TYPE (\w+)", rendered, re.MULTILINE))
    asked = {
        name
        for _, panel in PANELS
        for target in panel["targets"]
        for name in re.findall(r"\b((?:agentrun|process)_\w+)\{", target.get("expr", ""))
    }
    assert len(asked) > 15
    for name in asked:
        base = name.removesuffix("_bucket")
        assert name in declared or base in declared, name


def test_export_writes_what_grafana_provisions(tmp_path: Path) -> None:
    """`agentrun dashboards export DIR`: dashboards, data source, provider."""
    done = CliRunner().invoke(main, ["dashboards", "export", str(tmp_path)])

    assert done.exit_code == 0, done.output
    written = {Path(line).relative_to(tmp_path).as_posix() for line in done.output.splitlines()}
    assert {f"json/{name}" for name in DOCUMENTS} <= written
    assert {f"alerting/{name}.yaml" for name in GROUPS} <= written
    assert {"provisioning/datasource.yaml", "provisioning/provider.yaml"} <= written
    assert all((tmp_path / name).is_file() for name in written)
