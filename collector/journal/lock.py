"""One process per journal directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from collector.errors import ConfigError


class DirectoryLock:
    """An advisory lock on `<directory>/lock`, held until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        """Raises `ConfigError` when another process holds it, `OSError` when it cannot be made."""
        self._fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise ConfigError(
                f"journal directory {directory}: in use by the process with id {holder}.\n"
                "  Why: two processes writing one journal would lose each other's records.\n"
                "  Fix: stop that process, or give this one another --data-dir."
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two different files."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
