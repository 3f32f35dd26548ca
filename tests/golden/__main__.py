"""`make golden`: write what the captures give now; the diff is for a person to review."""

from __future__ import annotations

import sys

from tests.golden.render import files

for path, text in files().items():
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.name} changed\n")
