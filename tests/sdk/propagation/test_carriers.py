"""What `inject` says, and what `extract` believes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import otel_agentrun as agentrun
from otel_agentrun import carriers, current, propagation, semconv
from tests.sdk.conftest import Recorded

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture
def ignored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many values were ignored so far, as a metric."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    counter = provider.get_meter("test").create_counter("agentrun.propagation.ignored")
    monkeypatch.setattr(carriers, "_ignored", counter)

    def count() -> int:
        data = reader.get_metrics_data()
        if data is None:
            return 0
        [metric] = data.resource_metrics[0].scope_metrics[0].metrics
        return int(metric.data.data_points[0].value)  # type: ignore[union-attr]

    yield count
    provider.shutdown()


def stamps(context: Context) -> dict[str, Any]:
    scope = current.current(context)
    assert scope is not None
    return scope.stamps


def test_every_header_of_a_run_is_sent(app: Recorded) -> None:
    """S2.18-S2.25: who reads only these headers knows the run, its session and its labels."""
    with agentrun.run(
        "support",
        agent_id="agent-7",
        request_id="req-1",
        session="s-1",
        session_path="/refunds",
        session_name="Refund of 17",
        tags={"team": "payments"},
        attributes={},
    ) as run:
        headers = agentrun.inject()

    assert headers["alephant-run-id"] == run.run_id
    assert headers["alephant-agent-id"] == "agent-7"
    assert headers["x-request-id"] == "req-1"
    assert headers["alephant-session-id"] == "s-1"
    assert headers["alephant-session-path"] == "/refunds"
    assert headers["alephant-session-name"] == "Refund of 17"
    assert headers["alephant-property-team"] == "payments"
    assert headers["traceparent"].split("-")[1] == run.run_id


def test_the_prompt_travels(app: Recorded) -> None:
    """S2.25: a prompt id that came with a request is handed on with the requests it causes."""
    with agentrun.attached(agentrun.extract({"Alephant-Prompt-Id": "refund:v3"})):
        assert agentrun.inject()["alephant-prompt-id"] == "refund:v3"


def test_a_receiver_in_the_same_run_stamps_what_the_sender_would(app: Recorded) -> None:
    """S1.3, S5.18: a step in a worker carries run, agent, session, tenancy and tags."""
    with agentrun.run(
        "support", session="s-1", user="u-1", workspace="acme", policy_version="p2",
        tags={"Team": "Zahlung", "team": "ünï"},
    ) as run:  # fmt: skip
        job = json.loads(json.dumps({"order": 7, "agentrun": agentrun.inject()}))
    with (
        agentrun.attached(agentrun.extract(job["agentrun"], Context())),
        agentrun.tool("ship"),
    ):
        pass

    said = app.said("agent.tool ship")
    own = app.said("agent.run support")
    assert said[semconv.RUN_ID] == run.run_id
    assert semconv.RUN_PARENT_ID not in said
    assert said[semconv.GEN_AI_AGENT_NAME] == "support"
    for name in (
        semconv.SESSION_ID, semconv.USER_ID, semconv.WORKSPACE, semconv.POLICY_VERSION,
        "agentrun.tag.Team", "agentrun.tag.team",
    ):  # fmt: skip
        assert said[name] == own[name]
    assert app.span("agent.tool ship").parent is not None


def test_a_run_in_the_receiver_is_a_child(app: Recorded) -> None:
    """S3.33, S3.34: it names its parent, has the session, and not the identity of its caller."""
    with agentrun.run("lead", agent_id="a-1", agent_role="lead", session="s-1") as lead:
        headers = agentrun.inject()
        sent_by = trace.get_current_span().get_span_context()
    with agentrun.run("helper", context=agentrun.extract(headers, Context())) as helper:
        pass

    said = app.said("agent.run helper")
    assert helper.parent_run_id == lead.run_id
    assert said[semconv.RUN_PARENT_ID] == lead.run_id
    assert said[semconv.SESSION_ID] == "s-1"
    assert semconv.AGENT_ID not in said
    assert said[semconv.GEN_AI_AGENT_NAME] == "helper"
    span = app.span("agent.run helper")
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (sent_by.trace_id, sent_by.span_id)
    assert helper.run_id == f"{sent_by.trace_id:032x}-{span.context.span_id:016x}"


def test_labels_of_a_request_land_on_the_run_and_on_what_has_no_run(app: Recorded) -> None:
    """S2.18-S2.26: a caller without any SDK names request, agent, session and tags."""
    context = agentrun.extract(
        [
            (b"X-Request-Id", b"req-9"),
            (b"Alephant-Agent-Id", b"agent-9"),
            (b"Alephant-Session-Id", b"s-9"),
            (b"Alephant-Property-Tier", "größer".encode()),
        ]
    )
    with agentrun.attached(context):
        with app.tracer.start_as_current_span("GET /", attributes={"session.id": "its own"}):
            pass
        with agentrun.run("support", request_id="req of the application"), agentrun.tool("search"):
            pass

    for name in ("agent.run support", "agent.tool search"):
        said = app.said(name)
        assert said[semconv.REQUEST_ID] == "req of the application"
        assert said[semconv.AGENT_ID] == "agent-9"
        assert said[semconv.SESSION_ID] == "s-9"
        assert said["agentrun.tag.tier"] == "größer"
    plain = app.said("GET /")
    assert plain[semconv.REQUEST_ID] == "req-9"
    assert plain["session.id"] == "its own"
    assert semconv.RUN_ID not in plain


def test_w3c_headers_alone_carry_the_run(app: Recorded) -> None:
    """A service in between, of any language, passes on traceparent and baggage and nothing else."""
    with agentrun.run("support", session="s-1", session_name="Zoë") as run:
        sent = agentrun.inject()
    passed_on = {name: sent[name] for name in ("traceparent", "baggage")}

    found = stamps(agentrun.extract(passed_on, Context()))

    assert found[semconv.RUN_ID] == run.run_id
    assert found[semconv.SESSION_NAME] == "Zoë"
    assert "alephant-session-name" not in sent  # HTTP clients refuse what is not ASCII


def test_our_entries_leave_the_baggage(app: Recorded) -> None:
    """They would go to whoever is called next, and name the caller's run there."""
    with agentrun.run("support"):
        inside = baggage.set_baggage("theirs", "1")
        headers = agentrun.inject(context=inside)

    assert baggage.get_all(agentrun.extract(headers, Context())) == {"theirs": "1"}


def test_a_stale_header_is_replaced_whatever_its_case(app: Recorded) -> None:
    """A service that passes on the headers it received must not pass on its caller's run."""
    headers = {"Alephant-Run-Id": "old", "Accept": "*/*"}
    with agentrun.run("support") as run:
        agentrun.inject(headers)

    assert headers["Alephant-Run-Id"] == run.run_id
    assert headers["Accept"] == "*/*"
    assert "alephant-run-id" not in headers


def test_spans_of_other_instrumentations_stay_in_between(app: Recorded) -> None:
    """A server's own span of the request is the parent when it is of the caller's trace already."""
    with agentrun.run("lead"):
        headers = agentrun.inject()
    server = app.tracer.start_span("POST /", agentrun.extract(headers, Context()))
    with trace.use_span(server, end_on_exit=True), agentrun.attached(agentrun.extract(headers)):
        assert trace.get_current_span() is server


def test_a_span_of_another_trace_gives_way(app: Recorded) -> None:
    """The loop of a worker may be a span: its jobs belong to the trace of whoever sent them."""
    with app.tracer.start_as_current_span("worker loop"):
        context = agentrun.extract({"traceparent": TRACEPARENT})

    assert trace.get_current_span(context).get_span_context().trace_id == TRACE_ID


def test_an_empty_carrier_changes_nothing(app: Recorded) -> None:
    """A worker's own context stays for jobs that nobody's run has sent."""
    with agentrun.run("nightly"):
        assert stamps(agentrun.extract({})) == stamps(agentrun.extract({"order": 7}))
    assert agentrun.extract({}, Context()) == Context()
    assert agentrun.inject() == {}


def test_the_public_cannot_join_a_run(app: Recorded, ignored: Callable[[], int]) -> None:
    """Labels are taken from anybody; trace, run id and what only baggage carries are not."""
    context = agentrun.extract(
        {
            "traceparent": TRACEPARENT,
            "baggage": "user.id=root,agentrun.workspace=theirs,agentrun.run.id=r",
            "Alephant-Run-Id": "somebody's",
            "Alephant-Session-Id": "s-1",
        },
        Context(),
        public=True,
    )

    assert current.current(context) is None
    assert current.labels(context) == {"session.id": "s-1"}
    assert not trace.get_current_span(context).get_span_context().is_valid
    assert not baggage.get_all(context)
    assert ignored() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alephant-session-id", "x" * 513),
        ("alephant-session-id", "two\nlines"),
        ("alephant-session-id", "\x00"),
        ("alephant-session-id", "   "),
        ("alephant-property-", "no name"),
        ("alephant-property-" + "n" * 65, "long name"),
        ("baggage", "session.id=" + "x" * 513),
        ("baggage", "session.id=a%0Ab"),
        ("baggage", "agentrun.tag.=x"),
        ("baggage", "session.id=" + "x" * 9000),
    ],
)
def test_a_hostile_value_is_left_out_and_counted(
    name: str, value: str, ignored: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    """What is bounded and printable beside it is taken; nothing of it is logged."""
    with caplog.at_level(logging.DEBUG):
        context = agentrun.extract([(name, value), ("x-request-id", "req-1")], Context())

    assert current.labels(context) == {"agentrun.request.id": "req-1"}
    assert ignored() == 1
    assert not caplog.records


def test_tags_are_bounded(ignored: Callable[[], int]) -> None:
    """A client cannot make spans heavy: 32 tags by header and 32 by baggage are taken."""
    headers = [(f"alephant-property-h{n}", "x") for n in range(40)]
    entries = ",".join(f"agentrun.tag.b{n}=x" for n in range(40))
    context = agentrun.extract([*headers, ("baggage", entries)], Context())

    assert len(current.labels(context)) == 64
    assert ignored() == 16


def test_the_first_of_two_equal_headers_counts(ignored: Callable[[], int]) -> None:
    """Servers keep both; the second one is most often somebody's trick."""
    pairs = [("alephant-run-id", "first"), ("Alephant-Run-Id", "second")]

    assert stamps(agentrun.extract(pairs, Context()))[semconv.RUN_ID] == "first"
    assert ignored() == 1


def test_baggage_stays_within_its_limit(app: Recorded) -> None:
    """Receivers refuse a longer header as a whole: what is most important goes first."""
    tags = {f"t{n:02}": "ü" * 200 for n in range(32)}
    with agentrun.run("support", session="s-1", tags=tags) as run:
        headers = agentrun.inject()

    assert len(headers["baggage"]) <= carriers.BAGGAGE_BYTES_MAX
    found = stamps(agentrun.extract({"baggage": headers["baggage"]}, Context()))
    assert found[semconv.RUN_ID] == run.run_id
    assert found[semconv.SESSION_ID] == "s-1"


@given(
    st.lists(st.tuples(st.text() | st.binary(), st.text() | st.binary()))
    | st.dictionaries(
        st.sampled_from([*propagation.HEADERS, *carriers.W3C, "alephant-property-a"]),
        st.text() | st.binary() | st.lists(st.text()) | st.integers() | st.none(),
    )
)
def test_no_carrier_breaks_the_host(carrier: Any) -> None:
    """Whatever a stranger sends, a request is served."""
    context = agentrun.extract(carrier)
    with agentrun.attached(context):
        for value in agentrun.inject().values():
            assert isinstance(value, str)


@given(st.dictionaries(st.text(max_size=70), st.text(max_size=600), max_size=40))
def test_headers_are_ones_that_clients_can_send(tags: dict[str, str]) -> None:
    """Application text in tags and sessions must not make a request fail that it travels with."""
    said = {f"agentrun.tag.{name}": value for name, value in tags.items()}
    for name, value in propagation.headers_from_attributes(said).items():
        assert f"{name}: {value}".encode("ascii").isascii()
        assert "\r" not in value
        assert "\n" not in value
        assert " " not in name
        assert ":" not in name


class Message(dict[str, list[str]]):
    """A queue's message, which only its getter and setter know to read."""


def test_as_the_global_propagator_it_works_with_any_getter_and_setter(app: Recorded) -> None:
    """Set globally, instrumented clients and servers carry runs by themselves."""
    propagator = agentrun.AgentRunPropagator()

    class Put:
        def set(self, carrier: MutableMapping[str, list[str]], key: str, value: str) -> None:
            carrier[key] = [value]

    class Get:
        def get(self, carrier: Message, key: str) -> list[str] | None:
            return carrier.get(key)

        def keys(self, carrier: Message) -> list[str]:
            return []  # as instrumentations of queues do

    message = Message()
    with agentrun.run("support", session="s-1") as run:
        propagator.inject(message, setter=Put())  # type: ignore[arg-type]
    context = propagator.extract(message, getter=Get())  # type: ignore[arg-type]

    assert stamps(context)[semconv.RUN_ID] == run.run_id
    assert stamps(context)[semconv.SESSION_ID] == "s-1"
    assert set(message) <= propagator.fields


def test_log_lines_of_a_receiver_name_the_caller_s_run(app: Recorded) -> None:
    """S4.8: the same ids in the logs of both processes, of `logging` and of OpenTelemetry."""
    with agentrun.run("support", session="s-1", request_id="req-1") as run:
        headers = agentrun.inject()
    record = logging.makeLogRecord({"msg": "working"})
    with agentrun.attached(agentrun.extract(headers, Context())):
        agentrun.RunLogFilter().filter(record)
        app.logger_provider.get_logger("worker").emit(event_name="line")

    found = vars(record)
    assert (found["run_id"], found["request_id"], found["session_id"]) == (
        run.run_id,
        "req-1",
        "s-1",
    )
    [line] = app.events("line")
    assert (line[semconv.RUN_ID], line[semconv.SESSION_ID]) == (run.run_id, "s-1")
