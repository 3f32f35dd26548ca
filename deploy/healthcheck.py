#!/usr/bin/env python3
"""Is the collector of this container well: `agentrun-health [readyz]`; exit status 0 or 1.

Without an argument it asks `/healthz` (the process is alive), else `/readyz` (journal and store can
be written).  `AGENTRUN_HEALTH_URL` replaces `http://127.0.0.1:4319`, as for an API with TLS.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request

SECS = 6.0
"""Longer than the collector's own checks may take (5 s), shorter than the container's timeout."""


def main(words: list[str]) -> int:
    base = os.environ.get("AGENTRUN_HEALTH_URL", "http://127.0.0.1:4319")
    url = f"{base.rstrip('/')}/{words[0] if words else 'healthz'}"
    # It asks whether the server answers, not who it is: its certificate names another host.
    context = ssl._create_unverified_context() if url.startswith("https:") else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=context),
    )
    try:
        with opener.open(url, timeout=SECS) as response:
            sys.stdout.write(f"{url}: {response.status}\n")
            return 0
    except OSError as error:  # refused, timed out, or an HTTP error such as 503
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
