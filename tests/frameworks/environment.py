"""The virtual environment of the frameworks: made on first use, kept between runs.

It is outside of the checkout, and another one for other requirements or another Python.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
INSTALL_SECS: Final = 300.0


class NotInstalledError(Exception):
    """Says why."""


def folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agentrun"
    wanted = REQUIREMENTS.read_bytes() + sys.version.encode()
    return cache / f"frameworks-{hashlib.sha256(wanted).hexdigest()[:12]}"


def python(secs: float = INSTALL_SECS) -> Path:
    """The environment's interpreter, installed if need be.  Raises `NotInstalledError`."""
    target = folder()
    interpreter = target / "bin" / "python"
    installed = target / "installed"
    if installed.exists():
        return interpreter
    shutil.rmtree(target, ignore_errors=True)  # of a try that was broken off
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", target], [*pip, "-r", REQUIREMENTS]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=secs)
        except subprocess.TimeoutExpired:
            raise NotInstalledError(f"installing frameworks took more than {secs:.0f} s") from None
        if done.returncode != 0:
            raise NotInstalledError(f"frameworks not installed: {done.stderr.strip()[-500:]}")
    installed.touch()
    return interpreter
