"""`python -m collector.config` writes the JSON Schema and the list of settings, in a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from collector.config.reference import files

for name, text in files().items():
    target = Path(__file__).parents[2] / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{name}\n")
