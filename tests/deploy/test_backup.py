"""What docs/deploy.md says of backups, on the engine that the tests have: the embedded one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.files import ROOT
from tests.support.process import CollectorProcess
from tests.support.traffic import Sender, requests

RUNS = 8
RESTORED = """
import sys
from collector.store.schema import render
import chdb
connection = chdb.connect(sys.argv[1])
backup, restore = sys.argv[2:]
connection.query("CREATE DATABASE agentrun")
connection.query("USE agentrun")
for statement in render().split(";\\n\\n"):
    connection.query(statement.rstrip(";\\n"))
connection.query(
    "INSERT INTO agent_events (Timestamp, EventId, Name) VALUES (now64(9), 'e1', 'kept')"
)
listed = "SELECT name, engine, create_table_query FROM system.tables WHERE database = 'agentrun'"
before = str(connection.query(listed + " ORDER BY name"))
assert "agent_runs" in before and "View" in before
connection.query(backup)
connection.query("DROP DATABASE agentrun SYNC")
connection.query(restore)
assert str(connection.query(listed + " ORDER BY name")) == before
assert "kept" in str(connection.query("SELECT Name FROM agentrun.agent_events"))
"""


def test_backup_and_restore_hold_every_table_and_view(tmp_path: Path) -> None:
    """The statements of the page, but into memory: an embedded engine has no folder for backups."""
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    statements = re.findall(r"^((?:BACKUP|RESTORE) DATABASE .+);$", page, re.MULTILINE)
    assert len(statements) == 2
    words = [re.sub(r"File\('.+'\)", "Memory('backup')", one) for one in statements]
    done = subprocess.run(
        [sys.executable, "-c", RESTORED, str(tmp_path / "store"), *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_copy_of_a_stopped_data_folder_is_a_backup(tmp_path: Path) -> None:
    """All runs are in the copy's store, read as the page says, and its journal owes nothing."""
    data = tmp_path / "data"
    with CollectorProcess(data) as collector:
        sender = Sender(collector.ports["grpc"])
        for body, _ in requests(0, RUNS):
            assert sender.send(body)
        sender.close()
        assert collector.stop() == 0
    subprocess.run(["cp", "-a", str(data), str(tmp_path / "copy")], check=True)
    shutil.rmtree(data)

    listed = subprocess.run(
        [sys.executable, "-m", "otel_agentrun", "runs", "list", "--json",
         "--store", f"chdb://{tmp_path}/copy/store"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert listed.returncode == 0, listed.stderr
    assert len(json.loads(listed.stdout)) == RUNS
    assert (tmp_path / "copy" / "redaction.key").is_file()
