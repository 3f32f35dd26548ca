"""Webhooks: receivers are told of findings, approvals, stops and runs that ended, at least once.

What is to be told is written to a receiver's outbox (`outbox.py`) in the thread that read it from
the journal, before the journal may forget it; it leaves in a thread of that receiver, so that a
slow one delays neither the fold nor the others.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from collector.control.notices import (
    Notice,
    Wanted,
    json_body,
    notice_of_event,
    notice_of_run,
    slack_body,
)
from collector.control.outbox import Outbox, Parcel
from collector.errors import StoreError
from collector.runs.run import Run
from otel_agentrun.match import Match
from otel_agentrun.step import Event

__all__ = ["Webhook", "Webhooks", "signature"]

log = logging.getLogger(__name__)

SECOND: Final = 1_000_000_000
BACKOFF_SECS: Final = 1.0
BACKOFF_SECS_MAX: Final = 300.0
ANSWER_BYTES_MAX: Final = 65_536
"""Of an answer that are read."""
UNKNOWN_RUN_SECS: Final = 5.0
"""So long a notice waits for its run to be stored, where the match expression may be about it."""
IDLE_SECS: Final = 1.0
OUTCOMES: Final = ("delivered", "failed", "given_up", "dropped", "not_matched")
"""What `agentrun_webhook_deliveries_total` counts: `failed` attempts are tried again."""

RunNames = Callable[[str], Mapping[str, Any] | None]
"""What is known of a run, by the names of rules; `None` for an unknown one.  Raises StoreError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver."""

    name: str
    url: str
    wanted: Wanted
    match: Match | None = None
    secret: bytes = b""
    """Signs what is sent; empty: not signed."""
    format: Literal["json", "slack"] = "json"
    timeout_secs: float = 10.0
    give_up_secs: float = 86_400.0
    waiting_max: int = 10_000

    def __repr__(self) -> str:
        """Without URL and secret: that of a chat is a secret by itself."""
        return f"Webhook({self.name!r})"


class Webhooks:
    """All receivers of one collector.  Safe to use from any thread."""

    def __init__(
        self,
        webhooks: Iterable[Webhook],
        data_dir: Path,
        run_names: RunNames = lambda _: None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Raises OSError when an outbox cannot be opened."""
        self.counts: Counter[str] = Counter()
        self._now_ns = now_ns
        self._receivers: list[_Receiver] = []
        try:
            for webhook in webhooks:
                folder = data_dir / "webhooks" / webhook.name
                self._receivers.append(_Receiver(webhook, folder, run_names, self.counts, now_ns))
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        for receiver in self._receivers:
            receiver.start()

    def close(self) -> None:
        """What was not taken stays in the outboxes."""
        for receiver in self._receivers:
            receiver.stop()
        for receiver in self._receivers:
            receiver.join()

    def heard(self, events: Sequence[Event]) -> None:
        """Control events read from the journal; durable in the outboxes on return."""
        for receiver in self._receivers:
            wanted = receiver.webhook.wanted
            found = (notice_of_event(event, wanted) for event in events)
            receiver.put([notice for notice in found if notice is not None])

    def ran(self, runs: Sequence[Run]) -> None:
        """Runs as they are written to the store."""
        if not self._receivers:
            return
        now_ns = self._now_ns()
        for receiver in self._receivers:
            wanted = receiver.webhook.wanted
            found = (notice_of_run(run, wanted, now_ns) for run in runs)
            receiver.put([notice for notice in found if notice is not None])

    def deliveries(self) -> Mapping[str, int]:
        """How many, by outcome."""
        return {outcome: self.counts[outcome] for outcome in OUTCOMES}

    def waiting(self) -> int:
        return sum(receiver.waiting for receiver in self._receivers)

    def forget_runs(self, run_ids: frozenset[str]) -> None:
        """These runs are erased.  Raises StoreError when an outbox cannot be changed."""
        for receiver in self._receivers:
            try:
                receiver.erase(run_ids)
            except OSError as error:
                raise StoreError(
                    f"the outbox of webhook {receiver.webhook.name!r}: {error}",
                    "Make the data directory writable and erase again.",
                ) from error


class _Receiver:
    """One outbox and the thread that empties it."""

    def __init__(
        self,
        webhook: Webhook,
        folder: Path,
        run_names: RunNames,
        counts: Counter[str],
        now_ns: Callable[[], int],
    ) -> None:
        self.webhook = webhook
        self._outbox = Outbox(folder, waiting_max=webhook.waiting_max)
        self._run_names = run_names
        self._counts = counts
        self._now_ns = now_ns
        self._changed = threading.Condition()
        self._due: dict[int, float] = dict.fromkeys(self._outbox.waiting, 0.0)
        """Parcel -> monotonic time of its next attempt."""
        self._attempts: Counter[int] = Counter()
        self._stopping = False
        self._full = False
        self._failing = False
        self._thread = threading.Thread(
            target=self._run, name=f"webhook-{webhook.name}", daemon=True
        )

    @property
    def waiting(self) -> int:
        return len(self._outbox.waiting)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self) -> None:
        if self._thread.is_alive():
            # An answer that does not come holds only this thread, which is a daemon.
            self._thread.join(2.0)

    def put(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        with self._changed:
            if self._stopping:
                return  # the journal keeps what is not released: it is read again
            added = 0
            for notice in notices:
                try:
                    parcel = self._outbox.put(notice.notice_id, notice.document(), self._now_ns())
                except OverflowError:
                    self._drop("full")
                    continue
                except OSError as error:
                    self._drop(str(error))
                    continue
                self._full = False
                if parcel is not None:
                    self._due[parcel.number] = 0.0
                    added += 1
            if added:
                with contextlib.suppress(OSError):
                    self._outbox.sync()
                self._changed.notify()

    def erase(self, run_ids: frozenset[str]) -> None:
        with self._changed:
            self._outbox.erase(lambda parcel: parcel.document.get("run_id") in run_ids)

    def _drop(self, reason: str) -> None:
        self._counts["dropped"] += 1
        if not self._full:  # one line when it begins
            log.error("webhook_outbox", extra={"webhook": self.webhook.name, "reason": reason})
        self._full = True

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                parcel, wait = self._next()
                if parcel is None and not self._stopping:
                    self._changed.wait(wait)
                if self._stopping:
                    return
            if parcel is None:
                continue
            try:
                outcome, pause = self._deliver(parcel)
            except Exception:  # a bug of ours must not end the thread
                log.exception("webhook_failed")
                outcome, pause = "failed", None
            with self._changed:
                self._settle(parcel, outcome, pause)

    def _next(self) -> tuple[Parcel | None, float]:
        """What is due, or how long nothing is."""
        now = time.monotonic()
        for number in [number for number in self._due if number not in self._outbox.waiting]:
            del self._due[number]  # erased
        if not self._due:
            return None, IDLE_SECS
        number, due = min(self._due.items(), key=lambda item: (max(item[1], now), item[0]))
        if due > now:
            return None, min(due - now, IDLE_SECS)
        return self._outbox.waiting[number], 0.0

    def _settle(self, parcel: Parcel, outcome: str, pause: float | None) -> None:
        name, number = self.webhook.name, parcel.number
        age_secs = (self._now_ns() - parcel.queued_at_ns) / SECOND
        if outcome == "waits":
            self._due[number] = time.monotonic() + (pause or IDLE_SECS)
            return
        self._counts[outcome] += 1
        if outcome == "failed" and age_secs < self.webhook.give_up_secs:
            self._attempts[number] += 1
            backoff = min(BACKOFF_SECS * 2 ** min(self._attempts[number] - 1, 20), BACKOFF_SECS_MAX)
            # Jitter: receivers that were down are not met by everything at once.
            backoff *= random.uniform(0.5, 1.0)
            self._due[number] = time.monotonic() + max(backoff, pause or 0.0)
            return
        if outcome == "failed":
            self._counts["given_up"] += 1
            log.error("webhook_given_up", extra={"webhook": name, "notice": parcel.notice_id})
        self._due.pop(number, None)
        self._attempts.pop(number, None)
        try:
            self._outbox.done(number)
        except OSError as error:
            log.error("webhook_outbox", extra={"webhook": name, "reason": str(error)})

    def _deliver(self, parcel: Parcel) -> tuple[str, float | None]:
        """(outcome, seconds to wait at least before the next attempt)."""
        document = parcel.document
        run, known = self._run_of(document["run_id"] or "")
        match = self.webhook.match
        if match is not None:
            age_secs = (self._now_ns() - parcel.queued_at_ns) / SECOND
            if not known and age_secs < UNKNOWN_RUN_SECS:
                return "waits", None
            if not match({**run, **document["data"], "type": document["type"]}):
                return "not_matched", None
        make = slack_body if self.webhook.format == "slack" else json_body
        body = json.dumps(make(document, run), ensure_ascii=False).encode("utf-8", "replace")
        failure, pause = self._send(parcel.notice_id, body)
        if not failure:
            self._failing = False
            return "delivered", None
        if not self._failing:  # one line when it begins
            log.warning(
                "webhook_not_taken", extra={"webhook": self.webhook.name, "reason": failure}
            )
        self._failing = True
        return "failed", pause

    def _run_of(self, run_id: str) -> tuple[Mapping[str, Any], bool]:
        """(what is known of the run, whether the store knows it)."""
        if not run_id:
            return {}, True
        try:
            found = self._run_names(run_id)
        except StoreError:
            found = None
        return ({}, False) if found is None else (found, True)

    def _send(self, notice_id: str, body: bytes) -> tuple[str, float | None]:
        """(what went wrong, or "", seconds that the receiver asked for)."""
        timestamp = str(self._now_ns() // SECOND)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "otel-agentrun",
            "Agentrun-Delivery-Id": notice_id,
            "Agentrun-Timestamp": timestamp,
        }
        if self.webhook.secret:
            headers["Agentrun-Signature"] = signature(self.webhook.secret, timestamp, body)
        try:
            request = urllib.request.Request(self.webhook.url, body, headers, method="POST")
            with OPENER.open(request, timeout=self.webhook.timeout_secs) as response:
                response.read(ANSWER_BYTES_MAX)
                return "", None
        except urllib.error.HTTPError as error:
            error.close()
            return f"HTTP {error.code}", _asked(error.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The text may name the URL, which may be a secret.
            reason = getattr(error, "reason", error)
            return type(reason).__name__, None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other that is not 2xx: nothing is sent elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER: Final = urllib.request.build_opener(_NoRedirect)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256 of `<timestamp>.<body>` in hex."""
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={digest.hexdigest()}"


def _asked(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header; a date is taken for none."""
    if retry_after and retry_after.isascii() and retry_after.isdecimal():
        return min(float(retry_after[:9]), BACKOFF_SECS_MAX)
    return None
