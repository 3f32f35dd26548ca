"""Packages of Node for tests: installed outside of the repository on first use, and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_SECS = 240


def project(package_json: Path) -> Path:
    """The folder where the manifest's packages are installed; skips where that is not possible."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not on PATH")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agentrun"
    manifest = package_json.read_bytes()
    folder = cache / f"node-{hashlib.sha256(manifest).hexdigest()[:12]}"
    installed = folder / "installed"
    if not installed.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(manifest)
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            done = subprocess.run(
                [npm, "install", *options],
                cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm install took more than {INSTALL_SECS} s")
        if done.returncode != 0:
            pytest.skip(f"npm install failed: {done.stderr.strip()[-300:]}")
        installed.touch()
    return folder
