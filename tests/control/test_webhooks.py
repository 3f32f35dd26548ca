"""Receivers are told at least once, signed, whatever they answer and whoever is killed (S5.63)."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.control import webhooks as webhooks_module
from collector.control.notices import Wanted, notice_of_event, notice_of_run
from collector.control.outbox import Outbox
from collector.control.webhooks import Webhook, Webhooks
from collector.runs.events import APPROVAL_REQUESTED, DECISION, DIRECTIVE, FINDING, make_event
from otel_agentrun import semconv
from otel_agentrun.match import compile_match
from otel_agentrun.step import Event
from tests.support.hooks import Receiver
from tests.support.store import SECOND, START, TRACE, a_run

ALL = Wanted(events=frozenset({"finding", "approval", "stop", "run_ended"}))
SECRET = b"correct horse battery staple"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first retry comes after 20 ms."""
    monkeypatch.setattr(webhooks_module, "BACKOFF_SECS", 0.02)


def until(true: Callable[[], bool], secs: float = 5.0) -> None:
    end = time.monotonic() + secs
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def a_webhook(url: str, **values: Any) -> Webhook:
    return Webhook(**{"name": "ops", "url": url, "wanted": ALL, "secret": SECRET, **values})


def a_request(number: int = 1, **attributes: str) -> Event:
    said = {
        semconv.RUN_ID: TRACE,
        semconv.APPROVAL_ID: f"ap-{number}",
        semconv.APPROVAL_QUESTION: "Refund <b>900</b> USD?",
        semconv.GEN_AI_TOOL_NAME: "refund",
        semconv.APPROVAL_EXPIRES_UNIX_NS: str(START + 60 * SECOND),
        **attributes,
    }
    return make_event(APPROVAL_REQUESTED, START + number, run_id=TRACE, attributes=said)


def a_finding(action: str, **attributes: str) -> Event:
    said = {
        semconv.FINDING_ID: "f1",
        semconv.FINDING_ACTION: action,
        semconv.FINDING_RULE: "tool_loop",
        semconv.FINDING_KIND: "loop",
        semconv.FINDING_EXPLANATION: "`search` called 6 times in a row",
        **attributes,
    }
    return make_event(FINDING, START, run_id=TRACE, attributes=said)


def test_a_notice_is_signed_with_its_time(receiver: Receiver, tmp_path: Path) -> None:
    """The signature covers the time, so that what was recorded cannot be sent again later."""
    hooks = Webhooks([a_webhook(receiver.url)], tmp_path)
    hooks.start()
    hooks.heard([a_request()])
    until(lambda: hooks.counts["delivered"] == 1)
    hooks.close()

    [(path, headers, body)] = receiver.got
    assert path == "/hook"
    timestamp = headers["Agentrun-Timestamp"]
    assert abs(int(timestamp) - time.time()) < 60
    expected = hmac.new(SECRET, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["Agentrun-Signature"] == f"v1={expected}"
    [told] = receiver.bodies
    assert told["id"] == headers["Agentrun-Delivery-Id"]
    assert told["type"] == "approval.requested"
    assert told["data"]["question"] == "Refund <b>900</b> USD?"
    assert told["run_id"] == TRACE


def test_the_documented_check_accepts_it_and_nothing_else(
    receiver: Receiver, tmp_path: Path
) -> None:
    """docs/approvals.md: another body, another secret and an old time are refused."""
    page = (Path(__file__).parents[2] / "docs" / "approvals.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    verify = names["verify"]
    hooks = Webhooks([a_webhook(receiver.url)], tmp_path)
    hooks.start()
    hooks.heard([a_request()])
    until(lambda: hooks.counts["delivered"] == 1)
    hooks.close()
    [(_, headers, body)] = receiver.got

    assert verify(SECRET, headers, body)
    assert not verify(SECRET, headers, body + b" ")
    assert not verify(b"another secret", headers, body)
    later = {**headers, "Agentrun-Timestamp": str(int(headers["Agentrun-Timestamp"]) - 301)}
    assert not verify(SECRET, later, body)


def test_errors_are_tried_again_until_it_is_taken(receiver: Receiver, tmp_path: Path) -> None:
    """500, 503 and a redirect, which is not followed, are all no."""
    receiver.answers = [500, 503, 302]
    hooks = Webhooks([a_webhook(receiver.url)], tmp_path)
    hooks.start()
    hooks.heard([a_request()])
    until(lambda: hooks.counts["delivered"] == 1)
    hooks.close()

    assert [path for path, _, _ in receiver.got] == ["/hook"] * 4
    assert len({headers["Agentrun-Delivery-Id"] for _, headers, _ in receiver.got}) == 1
    assert hooks.counts["failed"] == 3
    assert hooks.waiting() == 0


def test_what_nobody_takes_is_given_up(receiver: Receiver, tmp_path: Path) -> None:
    """After a day, here at once, it is counted and logged instead of kept for ever."""
    receiver.answers = [500] * 10
    hooks = Webhooks([a_webhook(receiver.url, give_up_secs=0.0)], tmp_path)
    hooks.start()
    hooks.heard([a_request()])
    until(lambda: hooks.counts["given_up"] == 1)
    hooks.close()

    assert hooks.waiting() == 0
    assert len(receiver.got) == 1


def test_a_receiver_that_does_not_answer_is_tried_again(receiver: Receiver, tmp_path: Path) -> None:
    """Its time is up after `timeout_secs`."""
    receiver.hold.clear()
    hooks = Webhooks([a_webhook(receiver.url, timeout_secs=0.1)], tmp_path)
    hooks.start()
    hooks.heard([a_request()])
    until(lambda: hooks.counts["failed"] >= 1)
    receiver.hold.set()
    until(lambda: hooks.counts["delivered"] == 1)
    hooks.close()


def test_a_slow_receiver_delays_nobody(receiver: Receiver, tmp_path: Path) -> None:
    """Neither the thread that tells of events nor the other receivers wait for it."""
    slow = Receiver()
    slow.hold.clear()
    hooks = Webhooks(
        [a_webhook(slow.url, name="slow"), a_webhook(receiver.url, name="fast")], tmp_path
    )
    hooks.start()
    began = time.monotonic()
    hooks.heard([a_request(number) for number in range(20)])
    told_secs = time.monotonic() - began
    until(lambda: len(receiver.got) == 20)

    assert told_secs < 2.0
    assert len(slow.got) <= 1
    slow.close()
    hooks.close()


def test_what_was_not_taken_is_told_after_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    """The outbox is on disk before the journal may forget the event: `kill -9` loses nothing."""
    killed = Webhooks([a_webhook(receiver.url)], tmp_path)
    killed.heard([a_request(1), a_request(2)])  # never started: no thread, nothing closed

    hooks = Webhooks([a_webhook(receiver.url)], tmp_path)
    hooks.start()
    until(lambda: hooks.counts["delivered"] == 2)
    hooks.heard([a_request(1), a_request(2)])  # the journal is read again
    hooks.close()

    assert sorted(told["data"]["approval_id"] for told in receiver.bodies) == ["ap-1", "ap-2"]
    again = Webhooks([a_webhook(receiver.url)], tmp_path)
    again.heard([a_request(1), a_request(2)])
    assert again.waiting() == 0
    again.close()


def test_a_file_cut_short_by_a_crash_is_removed(tmp_path: Path) -> None:
    """A draft, or a file of a disk that lied: the journal brings the event again."""
    outbox = Outbox(tmp_path, waiting_max=10)
    outbox.put("one", {"type": "finding"}, START)
    (tmp_path / "000000000007.json").write_text('{"id": "tw')
    (tmp_path / "000000000008.draft").write_text("{")

    outbox = Outbox(tmp_path, waiting_max=10)

    assert [parcel.notice_id for parcel in outbox.waiting.values()] == ["one"]
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001.json"]


def test_a_full_outbox_drops_and_counts(tmp_path: Path, receiver: Receiver) -> None:
    """A receiver that is gone for good must not fill the disk."""
    hooks = Webhooks([a_webhook(receiver.url, waiting_max=2)], tmp_path)
    hooks.heard([a_request(number) for number in range(5)])

    assert hooks.waiting() == 2
    assert hooks.counts["dropped"] == 3
    hooks.close()


def test_erasing_a_run_empties_its_outbox(tmp_path: Path, receiver: Receiver) -> None:
    """What waits holds words of the run (S4.25)."""
    hooks = Webhooks([a_webhook(receiver.url)], tmp_path)
    hooks.heard([a_request()])
    hooks.forget_runs(frozenset({TRACE}))
    hooks.close()

    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"Refund" in path.read_bytes() for path in held)


def test_the_match_expression_sees_notice_and_run(receiver: Receiver, tmp_path: Path) -> None:
    """What the event does not say is read from the run."""
    hooks = Webhooks(
        [a_webhook(receiver.url, match=compile_match('environment == "production"'))],
        tmp_path,
        lambda run_id: {"environment": "production" if run_id == TRACE else "test"},
    )
    hooks.start()
    hooks.heard([a_request(1), make_event(DECISION, START, run_id="other", attributes={
        semconv.RUN_ID: "other", semconv.APPROVAL_ID: "ap-1",
        semconv.DECISION_KIND: "approval", semconv.DECISION_OUTCOME: "approved",
    })])  # fmt: skip
    until(lambda: hooks.counts["not_matched"] == 1 and hooks.counts["delivered"] == 1)
    hooks.close()

    [told] = receiver.bodies
    assert told["run"] == {"environment": "production"}


def test_slack_gets_text_and_blocks(receiver: Receiver, tmp_path: Path) -> None:
    """An open question says how to answer it; what Slack would interpret is escaped."""
    hooks = Webhooks([a_webhook(receiver.url, format="slack")], tmp_path)
    hooks.start()
    hooks.heard([a_request()])
    until(lambda: hooks.counts["delivered"] == 1)
    hooks.close()

    [told] = receiver.bodies
    assert told["text"] == "An agent asks for approval: refund"
    sections = [block["text"]["text"] for block in told["blocks"] if block["type"] == "section"]
    assert "Refund &lt;b&gt;900&lt;/b&gt; USD?" in sections[0]
    assert f"agentrun runs approve {TRACE} --approval ap-1" in sections[1]
    assert f"POST /v1/runs/{TRACE}/approve" in sections[1]
    assert told["blocks"][-1]["type"] == "context"


@pytest.mark.parametrize(
    ("action", "least", "extra", "told"),
    [
        ("warn", "warn", {}, True),
        ("flag", "warn", {}, False),
        ("flag", "flag", {}, True),
        ("kill", "pause", {}, True),
        ("kill", "warn", {semconv.FINDING_DRY_RUN: "true"}, False),
        ("kill", "warn", {semconv.FINDING_WITHDRAWN: "true"}, False),
    ],
)
def test_findings_by_action(action: str, least: str, extra: dict[str, str], told: bool) -> None:
    """Rules on trial and withdrawn findings are nobody's news."""
    wanted = Wanted(events=frozenset({"finding"}), finding_action=least)

    assert (notice_of_event(a_finding(action, **extra), wanted) is not None) is told


def test_a_growing_finding_is_told_once_per_action() -> None:
    """It has an event each time it grows; the receiver hears when more is called for."""
    notices = [
        notice_of_event(a_finding(action, **{semconv.FINDING_REVISION: revision}), ALL)
        for action, revision in (("warn", "1"), ("warn", "2"), ("kill", "3"))
    ]

    ids = [notice.notice_id for notice in notices if notice]
    assert len(ids) == 3
    assert ids[0] == ids[1] != ids[2]


def test_stops_are_told_when_asked_for_and_when_done() -> None:
    types = []
    for status in ("requested", "sent", "acknowledged", "failed"):
        said = {
            semconv.DIRECTIVE_ID: "d1",
            semconv.DIRECTIVE_ACTION: "kill",
            semconv.DIRECTIVE_STATUS: status,
        }
        notice = notice_of_event(make_event(DIRECTIVE, START, attributes=said), ALL)
        types.append(notice.type if notice else None)

    assert types == ["stop.requested", None, "stop.acknowledged", "stop.failed"]


def test_runs_that_ended_are_told_by_status() -> None:
    """Once per status, whatever else changes; and not those of old spans."""
    wanted = Wanted(events=frozenset({"run_ended"}), statuses=frozenset({"failed"}))
    end = START + SECOND
    failed = a_run(status="failed", ended_at_ns=end, stop_reason="error")

    notice = notice_of_run(failed, wanted, end)
    again = notice_of_run(a_run(status="failed", ended_at_ns=end + 1, revision=9), wanted, end)
    assert notice is not None
    assert again is not None
    assert notice.notice_id == again.notice_id
    assert notice.data["stop_reason"] == "error"
    assert notice_of_run(a_run(status="completed", ended_at_ns=end), wanted, end) is None
    assert notice_of_run(a_run(status="running"), wanted, end) is None
    assert notice_of_run(failed, wanted, end + 2 * 86_400 * SECOND) is None


def test_url_and_secret_are_not_in_its_repr() -> None:
    """The URL of a chat is a secret by itself."""
    assert repr(a_webhook("https://hooks.example/T0/B0/secret")) == "Webhook('ops')"
