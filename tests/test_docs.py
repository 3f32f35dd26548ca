"""What the docs say is true: snippets run, links lead somewhere, commands and verbs exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from collector import config
from collector.cli.main import main
from collector.rules.file import parse_rules

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changelog.d/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = re.compile(r"<!-- run -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?<![\w/.-])agentrun ([a-z]+)(?: ([a-z]+))?")
AGENTRUN = (sys.executable, "-m", "otel_agentrun")
START_SECS = 30
RUN_SECS = 30


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


# ------------------------------------------------------------------ snippets


@dataclass(frozen=True, slots=True)
class Ports:
    grpc: str
    http: str
    api: str


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """A collector as `agentrun up` starts it, on free ports."""
    folder = tmp_path_factory.mktemp("up")
    names = ("RECEIVER_GRPC", "RECEIVER_HTTP", "API")
    env = os.environ | {f"AGENTRUN_{name}_ADDRESS": "127.0.0.1:0" for name in names}
    with (
        (folder / "err").open("w") as log,
        subprocess.Popen(
            [*AGENTRUN, "up", "--data-dir", str(folder / "data")],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield announced(process, folder / "err")
        finally:
            process.terminate()
            try:
                process.wait(START_SECS)
            except subprocess.TimeoutExpired:
                process.kill()


def announced(process: subprocess.Popen[str], log: Path) -> Ports:
    """The ports from what a starting collector prints."""
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        place = re.search(r"127\.0\.0\.1:(\d+)", line)
        if place:
            found.append(place.group(1))
        if len(found) == 3:
            return Ports(*found)
    raise AssertionError(f"the collector did not start:\n{log.read_text()}")


def on(ports: Ports, snippet: str) -> str:
    for default, port in (("4317", ports.grpc), ("4318", ports.http), ("4319", ports.api)):
        snippet = snippet.replace(f"localhost:{default}", f"127.0.0.1:{port}")
    return snippet


def runs_of(ports: Ports, agent: str) -> list[dict[str, object]]:
    """The ended runs of one agent, once there are any."""
    url = f"http://127.0.0.1:{ports.api}"
    deadline = time.monotonic() + RUN_SECS
    while time.monotonic() < deadline:
        listed = subprocess.run(
            [*AGENTRUN, "runs", "list", "--json", "--agent", agent, "--collector", url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        found: list[dict[str, object]] = json.loads(listed.stdout)
        if found and all(run["ended_at"] for run in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"no run of {agent}")


def test_the_first_runs_of_the_readme_arrive(ports: Ports, tmp_path: Path) -> None:
    """Every snippet marked `<!-- run -->` runs as it stands, and makes the run it claims."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    snippets = RUNNABLE.findall(page)
    assert [language for language, _ in snippets] == ["python", "sh"]
    for language, snippet in snippets:
        file = tmp_path / f"snippet.{language}"
        file.write_text(on(ports, snippet), encoding="utf-8")
        command = [sys.executable, "-W", "error"] if language == "python" else ["bash", "-eu"]
        done = subprocess.run(
            [*command, str(file)], capture_output=True, text=True, timeout=RUN_SECS, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        assert "error" not in done.stdout

    (greeter,) = runs_of(ports, "greeter")
    assert (greeter["input_tokens"], greeter["output_tokens"]) == (1200, 80)
    assert greeter["user_id"] == "anna"
    assert greeter["cost_usd"]
    (refunds,) = runs_of(ports, "refunds")
    assert refunds["request_id"] == "req-42"
    assert refunds["agent_id"] == "refund-agent-7"
    assert refunds["session_id"] == "s-1"
    assert refunds["tags"] == {"tier": "gold"}


def test_the_configuration_of_the_readme_is_read(tmp_path: Path) -> None:
    """Somebody will copy it.  (That of docs/configuration.md: tests/config.)"""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    rules, text = [body for language, body in FENCE.findall(page) if language == "yaml"]
    assert len(parse_rules(rules, "README.md").rules) == 2
    file = tmp_path / "agentrun.yaml"
    file.write_text(text, encoding="utf-8")
    names = re.findall(r"key_env: (\w+)", text)

    loaded = config.load(file, {name: f"a-key-for-{name}-0123456789abcdef" for name in names})

    assert len(loaded.auth.keys) == len(names) == 2


# ------------------------------------------------------------------ references


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of this repository, and its anchor a heading there."""
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{named(page)}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{named(page)}: {target}"


def anchors(page: Path) -> set[str]:
    """Headings as links spell them: lower case, words joined by hyphens, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def test_the_readme_leads_to_every_page() -> None:
    """A page that nothing names is not read."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert f"(docs/{page.name})" in readme, f"README.md does not name docs/{page.name}"


def test_decisions_are_numbered_once_and_listed() -> None:
    listed = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    numbers = []
    for page in sorted((ROOT / "docs" / "adr").glob("*.md")):
        number = int(page.name[:4])
        numbers.append(number)
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. "), named(page)
        assert f"| [{number}](adr/{page.name}) |" in listed, f"{named(page)} is not listed"
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist(page: Path) -> None:
    """`agentrun <command> [<subcommand>]`, wherever a page has it as code."""
    text = page.read_text(encoding="utf-8")
    code = [body for _, body in FENCE.findall(text)]
    code += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    for body in code:
        for name, sub in COMMAND.findall(body):
            command = main.commands.get(name)
            assert command is not None, f"{named(page)}: agentrun {name}"
            if isinstance(command, click.Group) and sub:
                assert sub in command.commands, f"{named(page)}: agentrun {name} {sub}"


def test_make_verbs_exist_and_are_documented() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    assert verbs >= {"run", "test", "check", "bench", "golden", "docs", "fmt"}
    for page in PAGES:
        for verb in re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8")):
            assert verb in verbs, f"{named(page)}: make {verb}"
