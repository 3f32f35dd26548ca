"""Entry point of the command `agentrun`.

The package installs light; the service is an extra, and its command says so when it is missing.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line.  Exit status 2 when the extra `collector` is not installed."""
    try:
        from collector.cli.main import main as command_line

        command_line(prog_name="agentrun")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("collector", "otel_agentrun"):
            raise  # ours: a broken installation or a bug, not a missing extra
        sys.stderr.write(
            f"Error: agentrun needs the package {error.name!r}, which is not installed.\n"
            "  Fix: pip install otel-agentrun[collector]\n"
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
