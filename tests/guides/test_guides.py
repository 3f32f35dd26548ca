"""docs/guides on the Python and Node of this machine; those of frameworks: test_frameworks.py."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from collector.cli.main import main
from tests.guides.conftest import Open
from tests.guides.guide import PAGES, ROOT, Guide, blocks, free_port
from tests.support import node
from tests.support.process import CollectorProcess

HERE = Path(__file__).parent


def by_agent(guide: Guide) -> dict[str, dict[str, Any]]:
    """Name of the agent -> its only run."""
    runs = guide.runs()
    found = {run["agent_name"]: run for run in runs}
    assert len(found) == len(runs)
    return found


def test_every_page_is_linked_and_run() -> None:
    """A page that the index does not name is not read, one that no test opens is not true."""
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    pages = [page for page in PAGES.glob("*.md") if page.name != "README.md"]
    assert len(pages) >= 14
    for page in pages:
        assert f"({page.name})" in index, page.name
        assert f'"{page.name}"' in tests, page.name
        assert blocks(page), page.name
    assert "(docs/guides/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_start_from_zero(open_guide: Open) -> None:
    """S1.40: a run in a few lines, its tree, and what a failure looks like."""
    guide = open_guide("start-from-zero.md")
    guide.leave_out("install.sh", "installs this project; tests/test_repository.py and CI do")
    guide.leave_out("up.sh", "the collector of the test is started by the same command")
    guide.write("app.py")
    printed = guide.shell("first.sh")
    run_id = printed.split()[0]
    run, steps = guide.show(run_id)
    assert (run["agent_name"], run["user_id"], run["session_id"]) == ("support", "u-17", "s-1")
    assert (run["input"], run["output"]) == ("What did I order?", "You ordered tea and cups.")
    assert (run["outcome"], run["cost_confidence"]) == ("success", "exact")
    assert [step["kind"] for step in steps] == ["run", "tool", "model", "other"]
    assert "search_orders" in guide.shell("show.sh", RUN_ID=run_id)

    guide.run("fails.py", code=1)
    (failed,) = [run for run in guide.runs() if run["status"] == "failed"]
    assert (failed["error_type"], failed["failure_mode"]) == ("timeout", "timeout")
    assert failed["run_id"][:8] in guide.shell("failed.sh")


def test_existing_opentelemetry(open_guide: Open) -> None:
    """The application's provider stays; one more exporter, or our processor, is all."""
    guide = open_guide("existing-opentelemetry.md")
    guide.leave_out("auto.sh", "installs packages; tests/sdk/test_install.py runs the entry point")
    guide.write("telemetry.py")
    # What the application had so far leads elsewhere: only the page's exporter comes here.
    elsewhere = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{guide.api}/elsewhere"}
    guide.environment |= elsewhere
    guide.run("second.py")
    del guide.environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
    (only_sent,) = guide.runs()
    assert (only_sent["agent_name"], only_sent["status"]) == ("desk", "completed")

    guide.run("app.py")
    run = guide.runs()[0]
    assert (run["input"], run["output"], run["session_id"]) == ("Is there tea?", "yes", "s-1")
    _, steps = guide.show(run["run_id"])
    (theirs,) = [step for step in steps if step["name"] == "look it up"]
    assert theirs["run_id"] == run["run_id"]
    assert theirs["attributes"]["session.id"] == "s-1"

    pipelines = yaml.safe_load(guide.text("otelcol.yaml"))
    declared = {*pipelines["receivers"], *pipelines["exporters"]}
    for pipeline in pipelines["service"]["pipelines"].values():
        assert {*pipeline["receivers"], *pipeline["exporters"]} == declared


def test_curl(open_guide: Open) -> None:
    """S2.18-S2.25, S2.31: without an SDK, with the headers."""
    guide = open_guide("curl.md")
    assert guide.shell("send.sh").strip() == "{}"
    (run,) = guide.runs("agent=refunds&session=s-1")
    assert (run["input"], run["output"]) == ("Refund order 7", "Done.")
    assert (run["request_id"], run["agent_id"]) == ("req-42", "refund-agent-7")
    assert (run["session_name"], run["session_path"]) == ("Refund of order 7", "/refunds")
    assert (run["tags"], run["service_name"]) == ({"tier": "gold"}, "shop")
    assert (run["model_calls"], run["input_tokens"], run["cost_usd"]) == (1, 1000, 0.00021)

    guide.shell("feedback.sh", RUN_ID=run["run_id"])
    (run,) = guide.runs("agent=refunds&session=s-1")
    assert (run["quality"], run["outcome"]) == ({"rating": "success"}, "success")


def compiled(guide: Guide, name: str) -> None:
    """Write a TypeScript block beside its packages and check its types."""
    project = node.project(HERE / "node" / "package.json")
    guide.write(name)
    # No package.json with a type: `npm install` in an empty folder makes none either.
    (guide.folder / "node_modules").symlink_to(project / "node_modules")
    tsc = ["npx", "tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"]
    guide.call([*tsc, "--skipLibCheck", name])


def test_typescript(open_guide: Open) -> None:
    """S2.31: the standard SDK; the types are right, and the run is whole."""
    guide = open_guide("typescript.md")
    words = guide.text("install.sh").split()
    manifest = json.loads((HERE / "node" / "package.json").read_text(encoding="utf-8"))
    assert words[2:] == list(manifest["dependencies"])
    compiled(guide, "agent.mts")

    assert "support" in guide.shell("run.sh")

    (run,) = guide.runs()
    assert (run["agent_name"], run["session_id"], run["user_id"]) == ("support", "s-1", "u-17")
    assert (run["input"], run["output"]) == ("Where is tea?", "On page 7.")
    assert (run["tool_calls"], run["model_calls"], run["cost_usd"]) == (1, 1, 0.00021)
    assert run["tags"] == {"tier": "gold"}


def test_background_jobs(open_guide: Open) -> None:
    """S3.9, S3.41, S5.18, S5.23: runs without a user, over queues, tasks and threads."""
    guide = open_guide("background-jobs.md")
    guide.run("nightly.py")
    assert "nightly_report" in guide.shell("nightly.sh")
    guide.write("enqueue.py", "worker.py")
    # The sender prints the job and waits for nobody.
    guide.shell("queue.sh")
    guide.run("threads.py")
    guide.used.add("tasks.py")  # run below

    runs = by_agent(guide)
    nightly = runs["nightly_report"]
    assert (nightly["trigger"], nightly["execution"], nightly["status"]) == (
        "cron",
        "async",
        "completed",
    )
    assert nightly["result_ref"] == "s3://reports/2026-11-21.pdf"
    invoices = runs["invoices"]
    assert invoices["parent_run_id"] == runs["desk"]["run_id"]
    assert (invoices["session_id"], invoices["result_ref"]) == ("s-1", "invoice-7.pdf")
    assert (runs["reader"]["tool_calls"], runs["reader"]["tool_errors"]) == (2, 0)


def test_background_jobs_in_celery(open_guide: Open) -> None:
    """The page's module in a worker; only the broker is one in memory."""
    pytest.importorskip("celery")
    guide = open_guide("background-jobs.md")
    guide.used.update(guide.blocks)  # the others are run above
    module = guide.text("tasks.py").replace("redis://localhost", "memory://")
    (guide.folder / "tasks.py").write_text(module, encoding="utf-8")
    shutil.copy(HERE / "celery_worker.py", guide.folder)
    run_id = guide.call([str(guide.python), "celery_worker.py"]).strip()

    sender, _ = guide.show(run_id)
    task, _ = guide.show(*sender["child_run_ids"])
    assert task["agent_name"] == "tasks"
    assert (task["output"], task["tool_calls"]) == ("invoice-7.pdf", 1)
    assert task["execution"] == "async"


def research_of(guide: Guide) -> int:
    """Write the service of multi-agent.md and give it, and its callers, a free port."""
    port = free_port()
    guide.places |= {"localhost:8001": f"127.0.0.1:{port}", "--port 8001": f"--port {port}"}
    guide.write("research.py")
    return port


def test_multi_agent(open_guide: Open) -> None:
    """S3.33-S3.37, S5.44-S5.48: a child run with its caller's labels, and totals of both."""
    guide = open_guide("multi-agent.md")
    guide.used.add("caller.mts")  # run below
    port = research_of(guide)
    guide.write("desk.py")
    with guide.serving("serve.sh", port):
        printed = guide.shell("show.sh")
    run, steps = guide.show(printed.split()[0])
    child, _ = guide.show(*run["child_run_ids"])
    assert (child["agent_name"], child["parent_run_id"]) == ("research", run["run_id"])
    assert (child["session_id"], child["user_id"], child["trigger"]) == ("s-1", "u-17", "agent")
    assert (child["input"], child["output"]) == ("Where is tea?", "Tea is on page 7.")
    assert (run["model_calls"], run["model_calls_total"], run["cost_usd_total"]) == (0, 1, 0.00021)
    assert run["handoffs"] == 1
    (step,) = [step for step in steps if step["role"] == "handoff"]
    assert step["attributes"]["agentrun.handoff.reason"] == "needs the handbook"
    assert child["run_id"][:8] in printed


def test_multi_agent_over_languages(open_guide: Open) -> None:
    """S3.33: a caller with OpenTelemetry only is the parent all the same."""
    guide = open_guide("multi-agent.md")
    guide.used.update(guide.blocks)  # the others are run above
    port = research_of(guide)
    compiled(guide, "caller.mts")
    with guide.serving("serve.sh", port):
        guide.call(["npx", "tsx", "caller.mts"])
    (run,) = [run for run in guide.runs() if run["agent_name"] == "front"]
    child, _ = guide.show(*run["child_run_ids"])
    assert (child["agent_name"], child["parent_run_id"]) == ("research", run["run_id"])
    assert child["session_id"] == "s-1"
    assert (run["model_calls"], run["model_calls_total"]) == (0, 1)


def evaluated(text: str, execution: str) -> str:
    """What n8n makes of a parameter: `={{ … }}` is JavaScript.  n8n adds `hash` to strings."""
    found = re.fullmatch(r"=\{\{(.*)\}\}", text, re.DOTALL)
    if not found:
        return text
    world = """
      const crypto = require("node:crypto");
      String.prototype.hash = function (kind) {
        return crypto.createHash(kind).update(String(this)).digest("hex");
      };
      const $workflow = {id: "wf7", name: "Refunds"};
      const $execution = {id: process.argv[1]};
      const $json = {sessionId: "s-n8n", input: "Refund", output: "Done", startedAt: Date.now()};
    """
    done = subprocess.run(
        ["node", "-e", f"{world} process.stdout.write(String({found[1]}))", execution],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_n8n(open_guide: Open) -> None:
    """S2.31: the node as it is pasted.  n8n itself is not here: its expressions run in Node, with
    what they use of n8n, and its request is made from the node's parameters."""
    if shutil.which("node") is None:
        pytest.skip("node is not on PATH")
    guide = open_guide("n8n.md")
    (sender,) = json.loads(guide.text("node.json"))["nodes"]
    given = sender["parameters"]
    headers = {
        each["name"]: evaluated(each["value"], "4711")
        for each in given["headerParameters"]["parameters"]
    }
    for _ in range(2):  # n8n tries again
        command = ["curl", "-sS", "--fail-with-body", given["url"], "-X", given["method"]]
        for name, value in {"content-type": "application/json", **headers}.items():
            command += ["-H", f"{name}: {value}"]
        answer = guide.call([*command, "-d", evaluated(given["jsonBody"], "4711")])
        assert answer.strip() == "{}"

    (run,) = guide.runs("request=4711")
    assert run["run_id"] == hashlib.md5(b"wf74711", usedforsecurity=False).hexdigest()
    assert (run["workflow_name"], run["service_name"]) == ("Refunds", "n8n")
    assert (run["session_id"], run["session_name"]) == ("s-n8n", "Refunds")
    assert (run["input"], run["output"], run["tags"]) == ("Refund", "Done", {"workflow": "wf7"})
    table = dict(re.findall(r"^\| `(\S+)` \| `(.+)` \|$", (PAGES / "n8n.md").read_text(), re.M))
    assert {name: f"={value}" for name, value in table.items()} == {
        each["name"]: each["value"] for each in given["headerParameters"]["parameters"]
    }


def test_n8n_calls_an_agent(open_guide: Open) -> None:
    """The headers of the table, sent by curl to the agent of multi-agent.md, label its run."""
    guide = open_guide("multi-agent.md")
    guide.used.update(guide.blocks)  # the others are run above
    port = research_of(guide)
    headers = {
        "content-type": "application/json",
        "x-request-id": "4712",
        "alephant-session-id": "s-n8n-2",
        "alephant-session-name": "Refunds",
        "alephant-property-workflow": "wf7",
    }
    with guide.serving("serve.sh", port):
        command = ["curl", "-sS", "--fail-with-body", f"http://127.0.0.1:{port}/research"]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        guide.call([*command, "-d", '{"question": "Where is tea?"}'])
    (run,) = guide.runs("request=4712")
    assert (run["agent_name"], run["session_id"]) == ("research", "s-n8n-2")
    assert (run["session_name"], run["tags"]) == ("Refunds", {"workflow": "wf7"})


@pytest.fixture
def own_collector(tmp_path: Path) -> Any:
    """Figures over all runs need a collector that nobody else sends to."""
    with CollectorProcess(tmp_path / "own" / "data", store_flush_secs=0.05) as running:
        yield running


def answers_of(page: str) -> dict[str, list[str]]:
    """Stage -> fields in its table."""
    found: dict[str, list[str]] = {}
    for part in page.split("\n## ")[1:]:
        rows = re.findall(r"^\| [^|]+ \| ([^|]+) \|", part, re.MULTILINE)
        found[part[:7]] = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]
    return found


def test_rollout(open_guide: Open, own_collector: CollectorProcess) -> None:
    """S5.76: five stages, each by itself; the fields that it names are filled."""
    guide = open_guide("rollout.md", collector=own_collector)
    newest: list[dict[str, Any]] = []
    steps: dict[str, list[dict[str, Any]]] = {}
    for stage in ("stage1.py", "stage2.py", "stage3.py"):
        guide.run(stage)
        run = guide.runs("limit=1")[0]
        newest.append(run)
        steps[stage] = guide.show(run["run_id"])[1]
    first, second, third = newest

    assert (first["input"], first["output"]) == ("Where is tea?", "Tea is on page 7.")
    assert (first["models"], first["cost_usd"], first["environment"]) == (
        ["gpt-4o-mini"],
        0.00021,
        "dev",
    )
    assert (second["tool_calls"], second["retrievals"], second["model_calls"]) == (1, 1, 1)
    (found,) = [step for step in steps["stage2.py"] if step["kind"] == "retrieve"]
    assert found["documents"][0]["id"] == "shipping.md"
    assert (third["retries"], third["tool_errors"], third["outcome"]) == (1, 1, "success")
    assert (third["prompt_versions"], third["app_version"]) == ({"support": "12"}, "1.4.0")
    assert (third["policy_version"], third["task_type"]) == ("2026-11", "order_status")
    failed, retried = [step for step in steps["stage3.py"] if step["kind"] == "tool"]
    assert (failed["error_type"], failed["tool_version"]) == ("timeout", "v3")
    assert (retried["attempt"], retried["retry_reason"]) == (2, "timeout")

    # Stage 4 prints figures of what ran so far.
    printed = guide.run("stage4.py", guide.api)
    assert "3 of 3 runs" in printed
    assert "tool errors    find_order: timeout, 1 times" in printed

    # Stage 5: judged runs are cases; an agent that does the same passes, another one does not.
    guide.shell("judge.sh", RUN_ID=second["run_id"])
    guide.write("stage5.py")
    guide.shell("dataset.sh")
    (case,) = map(json.loads, (guide.folder / "cases.jsonl").read_text().splitlines())
    assert (case["input"], case["expected"]) == ("Where is order 7?", "It is shipped.")
    assert (case["source"], case["tools"]) == (second["run_id"], ["find_order"])
    assert guide.run("regression.py") == "0 regressions\n"
    lazy = guide.text("regression.py").replace(
        'agentrun.tool("find_order"', 'agentrun.tool("guess"'
    )
    (guide.folder / "lazy.py").write_text(lazy, encoding="utf-8")
    guide.call([str(guide.python), "lazy.py"], code=1)
    guide.collector.settle()
    outcomes = [run["outcome"] for run in guide.runs("task_type=evaluation")]
    assert outcomes == ["process_failure", "success"]


def test_the_fields_that_the_rollout_names_exist(collector: CollectorProcess) -> None:
    """Each is one of the documents' or a value that the row compares with."""
    schemas = collector.get("/openapi.json")["components"]["schemas"]
    known = {name for schema in schemas.values() for name in schema.get("properties", {})}
    named = answers_of((PAGES / "rollout.md").read_text(encoding="utf-8"))
    assert [len(fields) > 5 for fields in named.values()] == [True] * 5
    values = {"max_iterations", "evaluation", "process_failure"}
    texts = {"input", "output", "arguments", "result", "query", "documents", "tool_version"}
    tables = CliRunner().invoke(main, ["schema", "print"]).output
    columns = set(re.findall(r"[A-Z][A-Za-z]+", tables))
    for stage, fields in named.items():
        for name in set(fields) - values:
            assert name in known, stage
            column = "".join(part.capitalize() for part in name.split("_"))
            assert (column in columns) != (name in texts), f"{stage}: {name}"


def test_the_commands_that_the_rollout_names_run(collector: CollectorProcess) -> None:
    """With their filters, which the command line may refuse."""
    guide_text = (PAGES / "rollout.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"^\|.*\| `agentrun (runs list[^`]*)` \|$", guide_text, re.MULTILINE))
    assert len(commands) >= 8
    api = f"http://127.0.0.1:{collector.ports['api']}"
    for command in commands:
        done = CliRunner().invoke(main, ["--collector", api, *command.split()])
        assert done.exit_code == 0, f"{command}: {done.output}"
