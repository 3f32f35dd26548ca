"""A process that ends does not wait long for a collector that is not there.

At exit OpenTelemetry sends what its queues hold, and tries again where that fails: for up to 30 s
per provider (measured with connections refused).  An exporter that is shut down gives up at once.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterable
from typing import Final, Protocol

__all__ = ["limit_exit"]

EXIT_SECS: Final = 5.0
"""From the end of the application to the end of all sending; a full queue needs less than one."""


class Exporter(Protocol):
    """Of spans or of log records."""

    def shutdown(self) -> None: ...


def limit_exit(exporters: Iterable[Exporter], secs: float = EXIT_SECS) -> None:
    """Shut the exporters down `secs` after the process began to exit, if it is still there.

    To be called after their providers were made: what is registered last is called first.
    """
    leaving = threading.Event()
    atexit.register(leaving.set)

    def watch(held: tuple[Exporter, ...]) -> None:
        leaving.wait()
        time.sleep(secs)
        for exporter in held:
            exporter.shutdown()

    # Started now: at exit no thread can be started any more.
    watcher = threading.Thread(target=watch, args=(tuple(exporters),), daemon=True)
    watcher.name = "agentrun-exit"
    watcher.start()
