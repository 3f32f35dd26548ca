"""The virtual environments of the frameworks: made on first use, kept between runs.

They are outside of the checkout, and others for other requirements or another Python.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
INSTALL_SECS: Final = 300.0
LARGE: Final = {"crewai": "1 GB"}
"""What is installed by `python -m tests.frameworks NAME` only."""


class NotInstalledError(Exception):
    """Says why."""


def requirements(name: str = "") -> Path:
    """`requirements.txt`, or the file of frameworks that cannot be installed beside those."""
    return HERE / f"requirements{name and '-'}{name}.txt"


def names() -> list[str]:
    """Of the files; the first one is ""."""
    return [path.stem[len("requirements-") :] for path in sorted(HERE.glob("requirements*.txt"))]


def folder(name: str = "") -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agentrun"
    wanted = requirements(name).read_bytes() + sys.version.encode()
    return cache / f"frameworks{name and '-'}{name}-{hashlib.sha256(wanted).hexdigest()[:12]}"


def python(name: str = "", *, secs: float = INSTALL_SECS, large: bool = False) -> Path:
    """An environment's interpreter, installed if need be.  Raises `NotInstalledError`."""
    target = folder(name)
    interpreter = target / "bin" / "python"
    installed = target / "installed"
    if installed.exists():
        return interpreter
    if name in LARGE and not large:
        raise NotInstalledError(
            f"{name} takes {LARGE[name]}; `python -m tests.frameworks {name}` installs it"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process installs, others wait for it
        if not installed.exists():
            _install(name, target, secs)
            installed.touch()
    return interpreter


def _install(name: str, target: Path, secs: float) -> None:
    shutil.rmtree(target, ignore_errors=True)  # of a try that was broken off
    interpreter = target / "bin" / "python"
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    commands = [
        [sys.executable, "-m", "venv", str(target)],
        [*pip, "-r", str(requirements(name))],
    ]
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=secs)
        except subprocess.TimeoutExpired:
            raise NotInstalledError(f"installing frameworks took more than {secs:.0f} s") from None
        if done.returncode != 0:
            raise NotInstalledError(f"frameworks not installed: {done.stderr.strip()[-500:]}")
