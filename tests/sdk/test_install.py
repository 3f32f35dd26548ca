"""install(): in one call, honoring OTEL_*, replacing nothing; and without any call."""

from __future__ import annotations

import builtins
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import otel_agentrun as agentrun
from otel_agentrun import exporters
from otel_agentrun.exporters import Target
from otel_agentrun.installation import pre_instrument
from otel_agentrun.processor import AgentRunSpanProcessor
from otel_agentrun.sampling import RecordAll
from tests.sdk.conftest import Recorded
from tests.sdk.test_robustness import script


def test_a_given_provider_gets_our_processor_first_and_nothing_global_is_set(
    app: Recorded,
) -> None:
    processors = app.provider._active_span_processor._span_processors

    assert isinstance(processors[0], AgentRunSpanProcessor)
    assert isinstance(app.provider.sampler, RecordAll)
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)


def test_a_second_call_returns_what_the_first_one_did(app: Recorded) -> None:
    assert agentrun.install() is app.installed
    assert agentrun.install(tracer_provider=app.provider) is app.installed


def test_one_call_sets_up_traces_logs_and_exporters() -> None:
    done = script(
        "import otel_agentrun as agentrun\n"
        "from opentelemetry import trace, _logs\n"
        "app = agentrun.install(service_name='shop', resource={'a': 'b'})\n"
        "assert trace.get_tracer_provider() is app.tracer_provider\n"
        "assert _logs.get_logger_provider() is app.logger_provider\n"
        "processors = app.tracer_provider._active_span_processor._span_processors\n"
        "print([type(p).__name__ for p in processors])\n"
        "r = app.tracer_provider.resource.attributes\n"
        "print(r['service.name'], r['a'], r['deployment.environment.name'])\n"
        "print(processors[1].span_exporter._endpoint)\n"
        "import os; os._exit(0)\n",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4999",
    )

    assert done.stdout.splitlines() == [
        "['AgentRunSpanProcessor', 'BatchSpanProcessor']",
        "shop b test",
        "http://127.0.0.1:4999/v1/traces",
    ], done.stderr


def test_a_global_provider_of_the_application_is_used_not_replaced() -> None:
    done = script(
        "import otel_agentrun as agentrun\n"
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor, ConsoleSpanExporter\n"
        "mine = TracerProvider()\n"
        "console = ConsoleSpanExporter(out=open('/dev/null', 'w'))\n"
        "mine.add_span_processor(SimpleSpanProcessor(console))\n"
        "trace.set_tracer_provider(mine)\n"
        "app = agentrun.install(live=False)\n"
        "assert app.tracer_provider is mine\n"
        "print([type(p).__name__ for p in mine._active_span_processor._span_processors])\n"
        "import os; os._exit(0)\n"
    )

    assert "['AgentRunSpanProcessor', 'SimpleSpanProcessor']" in done.stdout, done.stderr


def test_settings_come_from_variables_too() -> None:
    done = script(
        "import otel_agentrun as agentrun\n"
        "from otel_agentrun import runtime\n"
        "app = agentrun.install()\n"
        "print(runtime.active().content.mode, runtime.active().content.chars_max)\n"
        "processors = app.tracer_provider._active_span_processor._span_processors\n"
        "print(runtime.active().emitter, processors[1:])\n",
        OTEL_AGENTRUN_CONTENT="off",
        OTEL_AGENTRUN_CONTENT_CHARS_MAX="99",
        OTEL_AGENTRUN_LIVE="false",
        OTEL_TRACES_EXPORTER="none",
    )

    assert done.stdout.splitlines() == ["off 99", "None ()"], done.stderr


def test_a_wrong_variable_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_AGENTRUN_CONTENT_CHARS_MAX", "many")
    with pytest.raises(ValueError, match=r"expected a positive number, got 'many'.\n  Fix: "):
        agentrun.install(tracer_provider=TracerProvider(shutdown_on_exit=False))


def test_without_its_exporter_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install opentelemetry-exporter-otlp-proto-http"):
        exporters.span_exporters(Target())
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "nobody")
    with pytest.raises(ValueError, match="no exporter 'nobody' is installed"):
        exporters.log_exporters(Target())


def test_the_protocol_and_headers_are_honored(monkeypatch: pytest.MonkeyPatch) -> None:
    [http] = exporters.span_exporters(Target(endpoint="http://127.0.0.1:1/", headers={"a": "b"}))
    assert http._endpoint == "http://127.0.0.1:1/v1/traces"  # type: ignore[attr-defined]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    [grpc] = exporters.span_exporters(Target(endpoint="127.0.0.1:1"))
    assert "grpc" in type(grpc).__module__
    http.shutdown()
    grpc.shutdown()


def test_opentelemetry_instrument_needs_no_code() -> None:
    """Its loader calls this group after the SDK is set up (opentelemetry-instrumentation,
    auto_instrumentation/_load.py)."""
    found = entry_points(group="opentelemetry_pre_instrument", name="otel_agentrun")
    if not found:
        pytest.skip("this checkout was installed before the entry point was there")
    assert next(iter(found)).load() is pre_instrument


def test_a_bad_setting_does_not_keep_the_application_from_starting() -> None:
    done = script(
        "from otel_agentrun.installation import pre_instrument\npre_instrument()\nprint('up')",
        OTEL_AGENTRUN_CONTENT="everything",
    )

    assert done.stdout.strip() == "up"
    assert "not_installed" in done.stderr


def test_the_name_run_is_the_function_whatever_is_imported_first() -> None:
    """A module `otel_agentrun.run` would shadow it."""
    code = (
        "import otel_agentrun.steps, otel_agentrun.runs, otel_agentrun.installation\n"
        "import otel_agentrun as a\n"
        "assert all(callable(getattr(a, name)) for name in a.__all__), a.__all__\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
