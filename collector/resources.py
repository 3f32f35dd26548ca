"""Package data: `schemas/` and `dashboards/`, in a checkout and in a wheel alike."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def data(name: str) -> Traversable:
    """The folder `schemas` or `dashboards`."""
    packaged = files("collector") / "_data" / name
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / name
