"""`agentrun stats` and `GET /v1/stats`: input, output, and who sees what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
import pytest
from click.testing import CliRunner, Result

from collector.accounting import Accounting
from collector.api.app import create_app
from collector.api.health import Health
from collector.api.metrics import Metrics
from collector.api.remote import RemoteOperations
from collector.api.updates import Updates
from collector.api.values import NotFoundError, RequestError
from collector.cli.main import main
from collector.cli.session import Session
from collector.dashboards.stats import StatQuery, answer, catalog, parse_stat
from collector.receiver.auth import KeyEntry, Keyring, Role, key_digest
from tests.api.fakes import FakeOperations
from tests.api.serving import serving
from tests.cli.test_commands import FakeBackend
from tests.dashboards.filled import Filled

NOW = 1_795_000_000_000_000_000
HOUR = 3_600_000_000_000
LOOPBACK = "http://127.0.0.1:4319"
KEYS = Keyring(
    KeyEntry(name=name, sha256=key_digest(f"key-{name}"), roles=frozenset(roles), workspace=where)
    for name, roles, where in [
        ("reader", [Role.READ], ""),
        ("sender", [Role.INGEST], ""),
        ("manager", [Role.READ], "management"),
    ]
)


class Answering(FakeOperations):
    """Operations whose stats come from the filled store."""

    filled: Filled

    def stats(self, stat: StatQuery) -> dict[str, Any]:
        return answer(self.filled.store, stat)


@pytest.fixture
def operations(filled: Filled) -> Answering:
    found = Answering()
    found.filled = filled
    return found


def asked(*pairs: tuple[str, str], name: str = "fleet-summary") -> StatQuery:
    return parse_stat(name, pairs, now_ns=NOW)


# ------------------------------------------------------------------ reading a request


def test_a_question_needs_a_name_and_nothing_else() -> None:
    """The last day, everything together."""
    assert asked() == StatQuery(
        name="fleet-summary", by="all", since_ns=NOW - 24 * HOUR, until_ns=NOW
    )


def test_a_question_survives_its_way_over_http() -> None:
    """What the command line parsed is what the collector parses."""
    stat = asked(("by", "task-type"), ("since", "7d"), ("agent", "o'neil"), ("level", "every"))
    assert parse_stat(stat.name, stat.parameters(), now_ns=NOW + HOUR) == stat


def test_all_mistakes_are_named_at_once() -> None:
    """As everywhere in the API."""
    wrong = (("by", "weather"), ("since", "soon"), ("color", "red"), ("agent", ""), ("level", "x"))
    with pytest.raises(RequestError) as caught:
        asked(*wrong)
    said = str(caught.value)
    assert "grouped by all, agent" in said
    assert "'soon' is no time" in said
    assert "takes no 'color'" in said
    assert "agent: expected" in said
    assert "level: 'x'" in said
    with pytest.raises(RequestError, match="later than since"):
        asked(("since", "1h"), ("until", "2h"))
    with pytest.raises(RequestError, match="more than once"):
        asked(("agent", "a"), ("agent", "b"))
    with pytest.raises(RequestError, match="run: run-header is about one"):
        asked(name="run-header")
    with pytest.raises(NotFoundError):
        asked(name="../secrets")


def test_dimensions_of_the_issue_exist() -> None:
    """Issue 6: --by agent | workflow | task-type | ..."""
    wanted = {
        "agent", "workflow", "task-type", "model", "tool", "user", "session", "virtual-key",
        "department", "workspace", "environment", "version",
    }  # fmt: skip
    found = {figure["name"]: set(figure["dimensions"]) for figure in catalog()}
    assert wanted <= found["fleet-summary"]
    assert {"step", "tool", "model", "agent"} <= found["fleet-retries"]


# ------------------------------------------------------------------ answers


def test_an_answer_is_json_with_units_and_times(filled: Filled) -> None:
    """RFC 3339 times, no NaN, the columns with their units."""
    now = filled.demo().until_ns
    stat = parse_stat("fleet-volume", [("since", "24h"), ("environment", "demo")], now_ns=now)
    document = orjson.loads(orjson.dumps(answer(filled.store, stat)))

    assert document["interval_secs"] == 1800
    assert [column["unit"] for column in document["columns"]] == ["time", "text", "short"]
    assert {row["status"] for row in document["rows"]} == {"completed", "failed"}
    assert sum(row["runs"] for row in document["rows"]) == 11
    assert all(row["time"].endswith(":00.000000000Z") for row in document["rows"])

    movers = parse_stat("fleet-movers", [("environment", "demo")], now_ns=now)
    (row,) = answer(filled.store, movers)["rows"]
    assert row["duration_p95_before_ms"] is None, "a quantile of nothing is NaN, which JSON lacks"


def test_every_figure_answers_over_http(operations: Answering) -> None:
    """Also those whose columns are maps, arrays and nanoseconds."""
    for figure in catalog():
        given = [("run", "nobody")] if "run" in figure["filters"] else []
        stat = parse_stat(figure["name"], given, now_ns=operations.filled.demo().until_ns)
        document = orjson.loads(orjson.dumps(operations.stats(stat)))
        assert document["columns"] == figure["columns"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_the_api_gives_a_tenant_its_workspace_only(operations: Answering) -> None:
    """The demo's analyst runs in the workspace `management`; a filter opens no other one."""
    app = create_app(
        operations,
        health=Health({}),
        metrics=Metrics(Accounting()),
        updates=Updates(),
        keyring=KEYS,
        now_ns=lambda: operations.filled.demo().until_ns,
    )
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url=LOOPBACK) as client:

        async def get(path: str, key: str) -> httpx.Response:
            return await client.get(path, headers={"Authorization": f"Bearer key-{key}"})

        own = await get("/v1/stats/fleet-summary?by=workspace", "manager")
        assert [(row["dimension"], row["runs"]) for row in own.json()["rows"]] == [
            ("management", 1)
        ]
        other = await get("/v1/stats/fleet-summary?by=workspace&workspace=acme", "manager")
        assert other.json()["rows"] == []
        everything = await get("/v1/stats/fleet-summary?by=environment&environment=demo", "reader")
        assert [row["runs"] for row in everything.json()["rows"]] == [11]
        assert (await get("/v1/stats/collector-dead-letters", "manager")).status_code == 403
        assert (await get("/v1/stats/collector-dead-letters", "reader")).status_code == 200
        assert (await get("/v1/stats/fleet-summary", "sender")).status_code == 403
        assert (await get("/v1/stats/nothing", "reader")).status_code == 404
        assert (await get("/v1/stats/fleet-summary?by=weather", "reader")).status_code == 400
        listed = (await get("/v1/stats", "manager")).json()
        assert "fleet-summary" in {figure["name"] for figure in listed}


def test_the_same_document_comes_over_a_socket(operations: Answering) -> None:
    """`agentrun stats` asks a running collector by default."""
    now = operations.filled.demo().until_ns
    updates = Updates()
    app = create_app(
        operations, health=Health({}), metrics=Metrics(Accounting()), updates=updates,
        now_ns=lambda: now,
    )  # fmt: skip
    given = [("by", "agent"), ("environment", "demo"), ("since", "24h")]
    stat = parse_stat("fleet-summary", given, now_ns=now)
    with serving(app, updates) as url:
        assert RemoteOperations(url).stats(stat) == orjson.loads(
            orjson.dumps(operations.stats(stat))
        )


# ------------------------------------------------------------------ the command


class Backend(FakeBackend):
    def __init__(self, operations: Answering) -> None:
        super().__init__(fake=operations)

    @contextmanager
    def operations(self, store: str) -> Iterator[Any]:
        yield self.fake


def agentrun(operations: Answering, *words: str) -> Result:
    session = Session(backend=Backend(operations))
    return CliRunner().invoke(main, [*words, "--store", "chdb:///x"], obj=session)


def test_the_command_prints_one_document(operations: Answering) -> None:
    """`--json` for programs, a table with units for people."""
    words = ("stats", "fleet-summary", "--by", "agent", "--where", "environment=demo")
    done = agentrun(operations, *words, "--json")
    document = json.loads(done.stdout)
    assert document["by"] == "agent"
    assert {row["dimension"] for row in document["rows"]} >= {"analyst", "support_agent"}

    table = agentrun(operations, *words).stdout
    assert "Runs at a glance by agent" in table
    assert "$12.00" in table
    assert "66.7%" in table
    assert (
        "Nothing in this period"
        in agentrun(
            operations, "stats", "fleet-summary", "--by", "agent", "--where", "user=nobody"
        ).stdout
    )


def test_the_command_says_what_there_is_and_what_is_wrong(operations: Answering) -> None:
    """Without a name the list; a mistake is exit status 2, an unknown name 1."""
    listed = agentrun(operations, "stats")
    assert "fleet-summary" in listed.stdout
    assert {one["name"] for one in json.loads(agentrun(operations, "stats", "--json").stdout)} == {
        figure["name"] for figure in catalog()
    }
    for words, status, said in (
        (("fleet-summary", "--by", "weather"), 2, "can be grouped by"),
        (("fleet-summary", "--where", "agent"), 2, "FILTER=VALUE"),
        (("nothing",), 1, "no figure"),
    ):
        done = agentrun(operations, "stats", *words)
        assert (done.exit_code, said in done.output) == (status, True), done.output
