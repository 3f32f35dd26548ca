"""What can go wrong with a ClickHouse server, as values that a test switches on and off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from collector.clickhouse_http.errors import ServerError
from tests.support.clickhouse_statement import Statement

InsertFault = Literal["error", "reset", "answer_lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong at present; the defaults are a healthy server."""

    down: bool = False
    """Nothing listens: connections are refused, open ones are reset."""
    hang: bool = False
    """Connections are accepted, requests are read, and nothing is ever answered."""
    delay_secs: float = 0.0
    """Before a statement is run."""
    refuse_all: int = 0
    """Error code for every statement."""
    refuse_writes: int = 0
    """Error code for whatever is not a read."""
    refuse_inserts: int = 0
    """Error code for every INSERT."""
    gateway_status: int = 0
    """HTTP status of a proxy that cannot reach the server; not a ClickHouse answer."""
    poison: str = ""
    """An INSERT whose data holds this text is refused, as if one row did not parse."""
    poison_code: int = 117
    every_insert: int = 0
    """Every n-th INSERT (1: each) meets `insert_fault`."""
    insert_fault: InsertFault = "answer_lost"
    """`error`: refused with KEEPER_EXCEPTION; `reset`: the connection ends before anything is
    stored; `answer_lost`: stored, and the connection ends before the answer."""
    cut_answers: bool = False
    """The connection is reset in the middle of every answer that has a body."""
    only: str = ""
    """Statements that do not hold this text (a table's name) are served as usual."""
    times: int = 0
    """The faults end after so many statements met them; 0: they stay.  Not for `down`."""


HEALTHY: Final = Faults()
DOWN: Final = Faults(down=True)
HANG: Final = Faults(hang=True)
READ_ONLY: Final = Faults(refuse_writes=164)
OUT_OF_DISK: Final = Faults(refuse_inserts=243)
TOO_MANY_PARTS: Final = Faults(refuse_inserts=252)
MEMORY_LIMIT: Final = Faults(refuse_all=241)

HANG_SECS_MAX: Final = 600
KEEPER_EXCEPTION: Final = 999
MESSAGES: Final = {
    53: ("TYPE_MISMATCH", "Cannot convert a value of this row to the type of its column"),
    117: ("INCORRECT_DATA", "Incorrect data in the block: (at row 1)"),
    164: ("READONLY", "Cannot execute query in readonly mode."),
    241: ("MEMORY_LIMIT_EXCEEDED", "(total) memory limit exceeded: would use 3.60 GiB"),
    243: ("NOT_ENOUGH_SPACE", "Cannot reserve 1.00 MiB, not enough space"),
    252: (
        "TOO_MANY_PARTS",
        "Too many parts (3000). Merges are processing significantly slower than inserts",
    ),
    KEEPER_EXCEPTION: ("KEEPER_EXCEPTION", "Coordination error: Connection loss"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do with one statement."""

    delay_secs: float = 0.0
    hang: bool = False
    reset: Literal["", "before", "after", "inside"] = ""
    """Reset the connection: before running the statement, after it, or inside its answer."""
    error: int = 0
    gateway_status: int = 0


NOTHING: Final = Verdict()


class FaultState:
    """The faults in force, and the count of INSERTs since they were.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults = HEALTHY
        self._changed = threading.Event()
        self._inserts = 0
        self._met = 0

    def set(self, faults: Faults) -> None:
        """Whoever hangs or waits under the old faults wakes up."""
        with self._lock:
            self._faults = faults
            self._inserts = self._met = 0
            self._changed.set()
            self._changed = threading.Event()

    def hangs(self) -> bool:
        """For requests without a statement: wait as `hang` says; True where there is no answer."""
        with self._lock:
            hang, changed = self._faults.hang, self._changed
        if hang:
            changed.wait(HANG_SECS_MAX)
        return hang

    def judge(self, statement: Statement, readable: Callable[[], str]) -> Verdict:
        """What to do with a statement, after the delay that the faults want.

        `readable` gives its data as text.
        """
        with self._lock:
            faults, changed = self._faults, self._changed
            if faults.times and self._met >= faults.times:
                faults = HEALTHY
            verdict = NOTHING
            if faults.only.encode() in statement.sql:
                poisoned = bool(faults.poison) and statement.is_insert
                verdict = self._verdict(faults, statement, poisoned and faults.poison in readable())
            self._met += verdict != NOTHING
        changed.wait(HANG_SECS_MAX if verdict.hang else verdict.delay_secs)
        return verdict

    def _verdict(self, faults: Faults, statement: Statement, poisoned: bool) -> Verdict:
        verdict = Verdict(
            delay_secs=faults.delay_secs,
            hang=faults.hang,
            gateway_status=faults.gateway_status,
            error=faults.refuse_all or (0 if statement.is_read else faults.refuse_writes),
            reset="inside" if faults.cut_answers and statement.is_read else "",
        )
        if not statement.is_insert or verdict.error:
            return verdict
        self._inserts += 1
        if faults.refuse_inserts:
            return replace(verdict, error=faults.refuse_inserts)
        if poisoned:
            return replace(verdict, error=faults.poison_code)
        if faults.every_insert and self._inserts % faults.every_insert == 0:
            if faults.insert_fault == "error":
                return replace(verdict, error=KEEPER_EXCEPTION)
            return replace(verdict, reset="before" if faults.insert_fault == "reset" else "after")
        return verdict


def injected(code: int, name: str) -> ServerError:
    """The error of an injected code, in the words of a server where they are known."""
    known, message = MESSAGES.get(code, (name, "injected by the test"))
    return ServerError(code, known, message)
