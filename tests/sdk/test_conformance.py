"""What the SDK sends is what the registry says: spans, events, attributes (GenAI and ours)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import otel_agentrun as agentrun
from collector.semconv.loading import load
from collector.semconv.observed import of_logs, of_traces
from collector.semconv.problem import Severity
from collector.semconv.report import examine
from otel_agentrun import semconv
from tests.sdk.conftest import Recorded


def everything() -> None:
    """Uses every method that an application has."""
    with agentrun.run(
        "support", input={"q": 1}, workflow="w", description="d", agent_id="a", agent_role="r",
        agent_type="service", agent_version="1", task_type="t", trigger="user", execution="sync",
        session="s", session_name="n", session_path="/p", conversation="c", user="u",
        request_id="q", workspace="ws", department="dp", virtual_key="k", policy_version="1",
        tool_contract_version="1", route_config_version="1", index_version="1", output_type="text",
        result_ref="ref", out_of_scope=True, feature_flags={"f": True}, tags={"t": "v"},
        summary="s",
    ) as run:  # fmt: skip
        with agentrun.plan("p", iteration=1, route="r", input="x", branch="b") as plan:
            plan.generated("g").decide("d").fan_out(2)
            plan.compiled(["one"])
            plan.aggregation("majority", votes={"a": 1}, chosen=["a"], discarded=["b"])
        with agentrun.model(
            "m", provider="openai", messages="hi", system="s", tools=[{"name": "t"}],
            prompt_name="n", prompt_version="1", prompt_variables={"v": 1}, temperature=1, top_p=1,
            top_k=1, max_tokens=1, seed=1, stop_sequences=["x"], frequency_penalty=0.1,
            presence_penalty=0.1, reasoning_level="high", stream=True, output_type="json",
            tool_choice="auto", route="r", context_compacted=False, server_address="api",
        ) as model:  # fmt: skip
            model.response("yes", model="m-1", response_id="r", finish_reasons=["stop"])
            model.usage(
                input_tokens=1, output_tokens=1, cache_read_tokens=1, cache_write_tokens=1,
                reasoning_tokens=1,
            ).first_chunk(1).retried(2, "rate_limit")  # fmt: skip
        with pytest.raises(TimeoutError), agentrun.tool("t", arguments={"a": 1}):
            raise TimeoutError
        with agentrun.tool(
            "t", arguments={"a": 1}, call_id="c", version="1", type="datastore", description="d",
            sensitive=True, url="https://x.example", cost_usd=1, plan_step="1",
        ) as tool:  # fmt: skip
            tool.result([1]).valid().invalid("no").skip("s").set("app.mine", 1).cost(1)
            tool.input(1).output(2)
        with agentrun.retrieve(
            "kb", query="q", top_k=1, filters={"a": 1}, collection="c", embedding_model="e",
            reranker="r", index_version="1", provider="p",
        ) as found:  # fmt: skip
            found.documents([{"id": "1", "score": 0.5}], removed={"2": "acl"})
        with agentrun.retrieve("store", query="q", memory=True):
            pass
        with agentrun.validate("v", input=1, check="schema", rule="r") as check:
            check.failed("why", score=0.1, label="bad")
        with agentrun.handoff("other", role="r", reason="w", message="m") as passed:
            passed.reply("ok")
        run.route("a", alternatives=["b"], reason="r", name="n").fallback("b", instead_of="a")
        run.branch("x").state("memory", key="k", value=1).score("s", 1, label="l")
        run.decision("policy", outcome="block", rule="r", actor="a")
        run.payment(1, payee="p", reference="r").feedback(score=1, label="success", comment="c")
        run.pause("p", actor="a").resume("r").fan_out(2).aggregate("vote")
        run.result("ref", type="text").summary("s").out_of_scope()
        run.handoff("next", role="r", reason="w").respond("done", type="text")


@pytest.mark.parametrize("content", ["off", "redacted", "full"])
def test_everything_that_is_sent_conforms_to_the_registry(
    make_app: Callable[..., Recorded], content: str
) -> None:
    app = make_app(content=content)
    everything()
    with pytest.raises(KeyError), agentrun.run("fails"):
        raise KeyError("x")

    seen = [*of_traces(encode_spans(app.spans)), *of_logs(encode_logs(app.logs))]
    report = examine(seen, load())

    wrong = [found for found in report.found if found.problem.severity is Severity.VIOLATION]
    assert not wrong, wrong
    names = {log.log_record.event_name for log in app.logs}
    assert names >= {
        semconv.RUN_STARTED_EVENT, semconv.RUN_STEP_EVENT, semconv.RUN_PAUSED_EVENT,
        semconv.RUN_RESUMED_EVENT, semconv.RUN_ENDED_EVENT, semconv.DECISION_EVENT,
        semconv.FEEDBACK_EVENT, semconv.PAYMENT_EVENT, semconv.STATE_EVENT,
    }  # fmt: skip
