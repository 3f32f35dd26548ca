"""pyarrow, without pandas.

With the first value that it is given, pyarrow imports pandas where that is installed (chdb brings
it), only to ask whether the value is one of its own.  Ours never are, and it would cost every
process 0.2 s at its start and 33 MB for good.  Whoever makes arrays while modules are imported
takes `pa` from here; afterwards it has been decided for the process.
"""

from __future__ import annotations

import sys

import pyarrow as pa

__all__ = ["pa"]


class _NoPandas:
    """Finds no pandas (`importlib.abc.MetaPathFinder`)."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)
        return


if "pandas" not in sys.modules:
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([""])
    finally:
        sys.meta_path.remove(_NoPandas)
