"""The journal's promises to receivers, the reader and the operator, on a healthy disk."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from collector.errors import ConfigError, OverloadedError, RetryableError, TooLargeError
from collector.journal.journal import Entry, Journal, JournalSettings, Position, RecordKind
from collector.journal.segment import HEADER_BYTES, RECORD_BYTES
from tests.journal.builders import opened, payloads_of, put, segment_files, take_all


class Gate:
    """Holds the committer inside its sync, so that a test decides what waits together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.entered = threading.Event()
        self.open = threading.Event()
        fdatasync = os.fdatasync

        def held(fd: int) -> None:
            self.syncs += 1
            self.entered.set()
            assert self.open.wait(10)
            fdatasync(fd)

        monkeypatch.setattr(os, "fdatasync", held)


def test_entries_come_in_the_order_of_their_commits(tmp_path: Path) -> None:
    """The fold does not depend on order, release does: positions ascend as they are read."""
    payloads = [bytes([number]) * 50 for number in range(100)]
    with opened(tmp_path, segment_bytes=1000) as journal:
        put(journal, *payloads)
        entries = take_all(journal)

    assert payloads_of(entries) == payloads
    assert [entry.position for entry in entries] == sorted(entry.position for entry in entries)
    assert not any(entry.recovered for entry in entries)


def test_appends_from_many_threads_are_all_there(tmp_path: Path) -> None:
    """Receivers append from worker threads; each gets the position of its own record."""
    positions: dict[bytes, Position] = {}

    def send(sender: int) -> None:
        for number in range(50):
            payload = b"%d/%d" % (sender, number)
            positions[payload] = journal.append(RecordKind.LOGS, payload, 1).result(10)

    with opened(tmp_path, segment_bytes=2000) as journal:
        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        read = {bytes(memoryview(entry.payload)): entry.position for entry in take_all(journal)}

    assert len(read) == 200
    assert read == positions


def test_one_sync_serves_everyone_who_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one group is being synced the next one gathers, and is one write and one sync."""
    gate = Gate(monkeypatch)
    with opened(tmp_path) as journal:
        first = journal.append(RecordKind.SPANS, b"first", 1)
        assert gate.entered.wait(10)
        waiting = [journal.append(RecordKind.SPANS, b"%d" % number, 1) for number in range(40)]
        assert not any(future.done() for future in [first, *waiting])
        gate.open.set()
        for future in [first, *waiting]:
            future.result(10)
        stats = journal.stats()

    assert gate.syncs == 2
    assert stats.commits == 2
    assert stats.committed_records == 41


def test_a_commit_is_accounted_before_anyone_can_see_it(tmp_path: Path) -> None:
    """Promise 2 holds at every moment only if `pending` grows before the reader can shrink it and
    before the sender is told."""
    futures: list[Future[Position]] = []
    seen: list[tuple[bool, bool, bytes]] = []

    def on_commit(entries: Sequence[Entry]) -> None:
        appended.wait(10)
        on_disk = b"".join(path.read_bytes() for path in segment_files(tmp_path))
        read = journal.next(0)
        seen.extend((futures[0].done(), read is None, on_disk) for _ in entries)

    appended = threading.Event()
    with opened(tmp_path, on_commit) as journal:
        futures.append(journal.append(RecordKind.SPANS, b"payload", 1))
        appended.set()
        futures[0].result(10)
        assert payloads_of(take_all(journal)) == [b"payload"]

    ((resolved, unreadable, on_disk),) = seen
    assert (resolved, unreadable) == (False, True)
    assert b"payload" in on_disk


def test_an_accounting_error_does_not_stop_the_journal(tmp_path: Path) -> None:
    """The record is durable by then; the sender is told the truth."""

    def on_commit(entries: Sequence[Entry]) -> None:
        raise ValueError("a bug elsewhere")

    with opened(tmp_path, on_commit) as journal:
        put(journal, b"one")
        put(journal, b"two")

        assert payloads_of(take_all(journal)) == [b"one", b"two"]


def test_what_was_not_released_comes_back_at_the_next_start(tmp_path: Path) -> None:
    """Recovered entries come first, oldest first, marked as recovered, and are counted by kind; a
    segment that was released in part is read again from its start."""
    two_records = HEADER_BYTES + 2 * (RECORD_BYTES + 60)
    with opened(tmp_path, segment_bytes=two_records) as journal:
        payloads = [b"s%d" % number * 30 for number in range(9)]
        for payload in payloads:
            journal.append(RecordKind.SPANS, payload, 5).result(10)
        put(journal, b"log", kind=RecordKind.LOGS)
        journal.release(take_all(journal)[4].position)

    with opened(tmp_path, segment_bytes=two_records) as journal:
        assert journal.recovered == {RecordKind.SPANS: 25, RecordKind.LOGS: 1}
        assert journal.stats().unreleased_items[RecordKind.SPANS] == 25
        put(journal, b"new")
        entries = take_all(journal)
        assert payloads_of(entries) == [*payloads[4:], b"log", b"new"]
        assert [entry.recovered for entry in entries] == [True] * 6 + [False]
        journal.release(entries[-1].position)
    assert segment_files(tmp_path) == []


def test_a_segment_is_deleted_when_all_its_records_are_released(tmp_path: Path) -> None:
    """The active one stays until it is closed: deleting it would lose what comes next."""
    with opened(tmp_path, segment_bytes=HEADER_BYTES + 2 * (RECORD_BYTES + 10)) as journal:
        put(journal, *[b"0123456789"] * 6)
        assert len(segment_files(tmp_path)) == 3
        entries = take_all(journal)

        journal.release(entries[0].position)
        assert len(segment_files(tmp_path)) == 3
        journal.release(entries[2].position)
        assert len(segment_files(tmp_path)) == 2
        assert journal.stats().bytes == 3 * (RECORD_BYTES + 10)
        journal.release(entries[5].position)
        assert len(segment_files(tmp_path)) == 1
        assert journal.stats().bytes == 0
        put(journal, b"more")
        assert payloads_of(take_all(journal)) == [b"more"]


def test_release_does_not_reach_what_nobody_has_read(tmp_path: Path) -> None:
    """What the reader does not have cannot be in the store."""
    with opened(tmp_path) as journal:
        put(journal, b"one", b"two")
        first = journal.next(1)
        assert first is not None
        journal.release(Position(99, 99))
        journal.drop_released()

        assert journal.stats().unreleased_items[RecordKind.SPANS] == 1
        assert payloads_of(take_all(journal)) == [b"two"]


def test_drop_released_leaves_no_byte_of_what_is_released(tmp_path: Path) -> None:
    """Erasure searches every file for the erased text (S4.25), the active segment included."""
    with opened(tmp_path) as journal:
        put(journal, b"erase me")
        entries = take_all(journal)
        journal.release(entries[-1].position)
        assert len(segment_files(tmp_path)) == 1

        journal.drop_released()
        assert segment_files(tmp_path) == []

        put(journal, b"kept")
        journal.drop_released()
        assert len(segment_files(tmp_path)) == 1
        entries = take_all(journal)
        journal.release(entries[-1].position)
        assert segment_files(tmp_path) == []


def test_a_full_journal_answers_at_once_and_takes_records_again_when_released(
    tmp_path: Path,
) -> None:
    """Full means bytes on disk with headers; the sender hears a delay, nobody blocks."""
    with opened(tmp_path, bytes_max=3 * (RECORD_BYTES + 100), retry_secs=7.0) as journal:
        put(journal, *[b"x" * 100] * 3)
        with pytest.raises(OverloadedError) as caught:
            journal.append(RecordKind.SPANS, b"", 1)
        assert (caught.value.reason, caught.value.retry_secs) == ("journal_full", 7.0)

        entries = take_all(journal)
        journal.release(entries[0].position)
        put(journal, b"x" * 100)
        with pytest.raises(OverloadedError):
            journal.append(RecordKind.SPANS, b"", 1)


def test_what_was_recovered_counts_against_the_limit(tmp_path: Path) -> None:
    """A restart does not make room."""
    with opened(tmp_path) as journal:
        put(journal, b"x" * 1000)
    with opened(tmp_path, bytes_max=1100) as journal, pytest.raises(OverloadedError):
        journal.append(RecordKind.SPANS, b"x" * 100, 1)


def test_records_that_wait_for_a_slow_disk_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs must not fill the memory with what waits for it."""
    gate = Gate(monkeypatch)
    with opened(tmp_path, waiting_bytes_max=10_000) as journal:
        journal.append(RecordKind.SPANS, b"x" * 4000, 1)
        assert gate.entered.wait(10)
        journal.append(RecordKind.SPANS, b"x" * 4000, 1)
        with pytest.raises(OverloadedError) as caught:
            journal.append(RecordKind.SPANS, b"x" * 4000, 1)
        gate.open.set()

    assert caught.value.reason == "journal_slow"


def test_a_record_that_can_never_fit_is_refused_for_good(tmp_path: Path) -> None:
    """A delay would make the sender try forever."""
    with opened(tmp_path, bytes_max=1000) as journal, pytest.raises(TooLargeError):
        journal.append(RecordKind.SPANS, b"x" * 1000, 1)


def test_a_record_larger_than_a_segment_has_one_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=500) as journal:
        put(journal, b"small", b"x" * 5000, b"after")
        entries = take_all(journal)

    assert payloads_of(entries) == [b"small", b"x" * 5000, b"after"]
    assert len({entry.position.segment for entry in entries}) == 3


def test_the_reader_goes_on_from_disk_when_the_cache_is_full(tmp_path: Path) -> None:
    """With the store down for hours memory stays bounded, and nothing is skipped or given twice,
    also where appending and reading alternate around the edge of the cache."""
    payloads = [b"%03d" % number * 20 for number in range(300)]
    read: list[bytes] = []
    with opened(tmp_path, segment_bytes=1500, cache_bytes=500) as journal:
        for start in range(0, 300, 30):
            put(journal, *payloads[start : start + 30])
            assert journal.stats().cache_bytes <= 500
            for _ in range(20):
                entry = journal.next(0)
                assert entry is not None
                read += payloads_of([entry])
                journal.release(entry.position)
        read += payloads_of(take_all(journal))
        # Caught up: the cache takes over again.
        put(journal, b"last")
        assert journal.stats().cache_bytes > 0
        read += payloads_of(take_all(journal))

    assert read == [*payloads, b"last"]


def test_a_record_larger_than_the_cache_is_read_from_disk(tmp_path: Path) -> None:
    with opened(tmp_path, cache_bytes=100) as journal:
        put(journal, b"small", b"x" * 5000, b"after")

        assert payloads_of(take_all(journal)) == [b"small", b"x" * 5000, b"after"]


def test_next_wakes_up_for_a_commit_and_for_the_end(tmp_path: Path) -> None:
    """The reader blocks without polling, and a shutdown does not wait for its timeout."""
    read: list[Entry | None] = []

    def reader() -> None:
        read.append(journal.next(10))
        waiting.set()
        read.append(journal.next(10))

    waiting = threading.Event()
    with opened(tmp_path) as journal:
        thread = threading.Thread(target=reader)
        thread.start()
        put(journal, b"one")
        assert waiting.wait(5)
    thread.join(5)

    assert not thread.is_alive()
    assert read[0] is not None
    assert read[1] is None


def test_next_returns_nothing_after_its_timeout(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        assert journal.next(0.01) is None


def test_closing_commits_what_was_accepted_and_refuses_what_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accepted append has an answer; a later one is told to resend."""
    gate = Gate(monkeypatch)
    journal = Journal.open(JournalSettings(directory=tmp_path), lambda entries: None)
    accepted = [journal.append(RecordKind.SPANS, b"%d" % number, 1) for number in range(5)]
    closer = threading.Thread(target=journal.close)
    closer.start()
    refused = ""
    while not refused:
        try:
            accepted.append(journal.append(RecordKind.SPANS, b"late", 1))
        except RetryableError as error:
            refused = error.reason
    assert refused == "shutting_down"
    gate.open.set()
    closer.join(10)

    assert all(future.done() for future in accepted)
    with opened(tmp_path) as journal:
        assert journal.recovered == {RecordKind.SPANS: len(accepted)}
    journal.close()  # a second time does nothing


def test_an_append_cannot_be_canceled(tmp_path: Path) -> None:
    """asyncio cancels the future of a request that goes away; the record is written all the same,
    and the committer survives."""
    with opened(tmp_path) as journal:
        future = journal.append(RecordKind.SPANS, b"one", 1)

        assert not future.cancel()
        future.result(10)
        put(journal, b"two")


def test_arrow_buffers_are_payloads(tmp_path: Path) -> None:
    """A batch goes into the journal without a copy, and comes back from disk as bytes."""
    batch = pa.record_batch({"SpanName": ["chat", "tool"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with opened(tmp_path) as journal:
        journal.append(RecordKind.SPANS, sink.getvalue(), batch.num_rows).result(10)
        (entry,) = take_all(journal)
        assert pa.ipc.open_stream(entry.payload).read_all().to_batches() == [batch]
    with opened(tmp_path) as journal:
        (entry,) = take_all(journal)
        assert pa.ipc.open_stream(entry.payload).read_all().to_batches() == [batch]


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    """Two writers would lose each other's records; the lock ends with its holder."""
    with opened(tmp_path):
        with pytest.raises(ConfigError) as caught, opened(tmp_path):
            pass
        assert str(tmp_path) in str(caught.value)
        assert str(os.getpid()) in str(caught.value)
    with opened(tmp_path):
        pass


def test_a_directory_that_cannot_be_used_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="Fix: "), opened(tmp_path / "file" / "journal"):
        pass


def test_prompts_in_the_journal_are_for_its_user_only(tmp_path: Path) -> None:
    with opened(tmp_path / "journal") as journal:
        put(journal, b"a prompt")
        modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "journal").iterdir()]

        assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
        assert modes == [0o600, 0o600]


class JournalMachine(RuleBasedStateMachine):
    """Any sequence of appends, reads, releases, drops and restarts, against plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.written = 0
        self.unread: list[bytes] = []
        self.given: list[tuple[Position, bytes]] = []
        self.start()

    def start(self) -> None:
        self.journal = Journal.open(
            JournalSettings(directory=Path(self.folder.name), segment_bytes=400, cache_bytes=250),
            lambda entries: None,
        )

    @rule(count=st.integers(1, 8), size=st.integers(0, 120))
    def append(self, count: int, size: int) -> None:
        payloads = [b"%06d" % (self.written + index) + b"." * size for index in range(count)]
        self.written += count
        put(self.journal, *payloads)
        self.unread += payloads

    @precondition(lambda self: self.unread)
    @rule(count=st.integers(1, 12))
    def read(self, count: int) -> None:
        for expected in self.unread[:count]:
            entry = self.journal.next(1)
            assert entry is not None
            assert payloads_of([entry]) == [expected]
            self.given.append((entry.position, expected))
        del self.unread[:count]

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.given) - 1))
        self.journal.release(self.given[index][0])
        del self.given[: index + 1]

    @rule()
    def drop_released(self) -> None:
        self.journal.drop_released()

    @rule()
    def restart(self) -> None:
        self.journal.close()
        pending = [payload for _, payload in self.given] + self.unread
        self.start()
        read = payloads_of(take_all(self.journal))
        # A segment that was released in part is read again from its start.
        assert read[len(read) - len(pending) :] == pending
        assert read == sorted(read)
        self.journal.close()
        self.start()
        self.given, self.unread = [], read

    @invariant()
    def counts_agree(self) -> None:
        stats = self.journal.stats()
        pending = len(self.given) + len(self.unread)
        assert stats.unreleased_items[RecordKind.SPANS] == pending
        sizes = [len(payload) for _, payload in self.given] + list(map(len, self.unread))
        assert stats.bytes == sum(sizes) + RECORD_BYTES * pending
        assert stats.cache_bytes <= 250
        assert stats.segments == len(segment_files(Path(self.folder.name)))

    def teardown(self) -> None:
        while self.unread or self.given:
            entries = take_all(self.journal)
            last = entries[-1].position if entries else self.given[-1][0]
            self.journal.release(last)
            self.unread, self.given = [], []
        self.journal.close()
        assert segment_files(Path(self.folder.name)) == []
        self.folder.cleanup()


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
