"""The repository as a whole: what is declared, what imports what, what must not be committed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.changelog import FRAGMENTS, TYPES, released, section

ROOT = Path(__file__).parents[1]


@cache
def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        loaded: dict[str, Any] = tomllib.load(file)["project"]
    return loaded


def requirements(extra: str = "") -> list[Requirement]:
    """Of the light install, or of one extra."""
    lines = project()["optional-dependencies"][extra] if extra else project()["dependencies"]
    return [Requirement(line) for line in lines]


def imports(package: str) -> Iterator[tuple[str, Path]]:
    """(module, file) of every import in a package, also those that only type checkers see.

    Not of those that may fail: `try: import x` with `except ImportError`.
    """
    for file in sorted((ROOT / package).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        attempted = {
            id(node)
            for attempt in ast.walk(tree)
            if isinstance(attempt, ast.Try)
            and any(getattr(one.type, "id", "") == "ImportError" for one in attempt.handlers)
            for node in attempt.body
        }
        for node in ast.walk(tree):
            if id(node) in attempted:
                continue
            if isinstance(node, ast.Import):
                yield from ((alias.name, file) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module, file


# ------------------------------------------------------------------ imports and packages


def test_the_light_part_never_needs_the_service() -> None:
    """An application imports otel_agentrun: nothing but OpenTelemetry and the standard library.

    The exceptions are the command, which says what to install where the service is missing, an
    integration, which may import the library that it is named after and is imported by nobody else,
    and the control stream and its messages, which come with the extra `control`.
    """
    light = sys.stdlib_module_names | {"otel_agentrun", "opentelemetry"}
    for module, file in imports("otel_agentrun"):
        if file.name == "__main__.py":
            continue
        own = {file.stem} if file.parent.name == "integrations" else set()
        own |= {"control_pb2.py": {"google"}, "control.py": {"grpc"}}.get(file.name, set())
        assert module.partition(".")[0] in light | own, f"{file.name} imports {module}"
        if file.parent.name != "integrations":
            assert not module.startswith("otel_agentrun.integrations"), f"{file.name}: {module}"


def test_an_application_imports_little() -> None:
    """All of the SDK takes less than 0.3 s more than OpenTelemetry's own, and brings no server, no
    database and no Arrow; importing the package alone brings nothing."""
    code = (
        "import sys, time\n"
        "import opentelemetry.sdk.trace, opentelemetry.sdk._logs.export\n"
        "before = set(sys.modules); start = time.perf_counter()\n"
        "import otel_agentrun as agentrun\n"
        "assert 'otel_agentrun.runs' not in sys.modules\n"
        "for name in agentrun.__all__: getattr(agentrun, name)\n"
        "print(time.perf_counter() - start)\n"
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))\n"
        "print(*(m for m in sys.modules if m.startswith('opentelemetry.exporter')))\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    secs = min(float(run.stdout.splitlines()[0]) for run in runs)
    modules = set(runs[0].stdout.splitlines()[1].split())

    assert secs < 0.3
    heavy = {"grpc", "chdb", "clickhouse_connect", "pyarrow", "collector", "fastapi", "requests"}
    assert not modules & heavy
    assert runs[0].stdout.splitlines()[2] == "", "exporters are imported by install() only"


def test_the_fold_and_the_dialects_have_no_edges() -> None:
    """Pure code: no files, sockets, threads, clocks or libraries of the edges.

    `ast` reads literals that Python libraries write as text; it runs nothing.
    """
    allowed = {
        "__future__",
        "ast",
        "bisect",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "enum",
    }
    allowed |= {"functools", "hashlib", "itertools", "json", "math", "operator", "re", "types"}
    allowed |= {"typing", "otel_agentrun"}
    for package in ("collector/runs", "otel_agentrun/dialects"):
        for module, file in imports(package):
            top = module.partition(".")[0]
            inner = module.startswith("collector.runs") and package == "collector/runs"
            assert top in allowed or inner, f"{package}/{file.name} imports {module}"


def test_what_the_service_imports_is_declared() -> None:
    """A package that comes along with another one may go with it."""
    declared = {
        canonicalize_name(one.name) for one in [*requirements(), *requirements("collector")]
    }
    # Comes with opentelemetry-exporter-otlp and is only asked for types, respectively.
    declared |= {"opentelemetry-exporter-otlp-proto-grpc", "typing-extensions"}
    known = packages_distributions()
    for module, file in imports("collector"):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top in ("collector", "otel_agentrun"):
            continue
        brings = {canonicalize_name(name) for name in known.get(top, ())}
        assert brings & declared, f"{file.name} imports {module}, of {sorted(brings)}"


def test_constraints_pin_what_is_declared() -> None:
    """`make run` installs the versions that were tested, and they are within the ranges."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for one in [*requirements(), *requirements("collector"), *requirements("dev")]:
        version = pinned.get(canonicalize_name(one.name))
        assert version, f"{one.name} is not pinned: make constraints"
        assert one.specifier.contains(version, prereleases=True), f"{one}: pinned at {version}"


# ------------------------------------------------------------------ what is committed


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def test_nothing_of_one_machine_is_committed() -> None:
    """No path of the machine it was written on, and no address of a package registry: both differ
    from place to place, and are nobody else's business."""
    here = {f"{ROOT}/", f"{Path.home()}/"} - {"//", "/"}
    registries = re.compile(
        # In parts, so that this file names none either.
        r"\b(?:pypi|pythonhosted|npmjs|deb[.]debian)[.](?:org|com|python)\b|index" + r"-url"
    )
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for path in here:
            assert path not in text, f"{file.relative_to(ROOT)} holds {path}"
        match = registries.search(text) if file != Path(__file__) else None
        assert match is None, f"{file.relative_to(ROOT)} names {match and match.group()}"


def test_fragments_become_the_section_of_a_release() -> None:
    """Their names say issue and type; `make changelog` sorts them by these."""
    files = [path for path in FRAGMENTS.glob("*.md") if path.name != "README.md"]
    body = section((path.name, path.read_text(encoding="utf-8")) for path in files)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    text = released(changelog, "9.9.9", "2031-01-02", body)

    assert "## [9.9.9] - 2031-01-02\n" in text
    for kind in re.findall(r"^### (.+)$", body, re.MULTILINE):
        assert kind.lower() in TYPES
    both = section([("3.fixed.md", "- c\n"), ("12.added.md", "- b\n"), ("2.added.md", "- a\n")])
    assert both == "### Added\n\n- a\n- b\n\n### Fixed\n\n- c\n"


def test_a_fragment_or_version_that_cannot_be_sorted_is_refused() -> None:
    for name in ("two.added.md", "2.new.md", "2.added.txt", "README"):
        with pytest.raises(ValueError, match="expected <issue>"):
            section([(name, "- x")])
    for version in ("1", "v1.2.3"):
        with pytest.raises(ValueError, match="expected a version"):
            released("## [Unreleased]\n", version, "2031-01-02", "")
    with pytest.raises(ValueError, match="already"):
        released("## [Unreleased]\n## [1.2.3] - x\n", "1.2.3", "2031-01-02", "")
