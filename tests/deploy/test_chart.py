"""The Helm chart: rendered by Helm's own code, each resource checked by Kubernetes' schemas.

What no schema is at hand for (the resources of operators) is checked for what we rely on.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.config import load
from tests.deploy.files import DEPLOY, ROOT

CHART = DEPLOY / "helm" / "otel-agentrun"
NAME = "agentrun-otel-agentrun"
KUBERNETES = ("1.27", "1.31", "1.37")
EVERYTHING: dict[str, Any] = {
    "existingSecret": "agentrun",
    "replicaCount": 3,
    "image": {"repository": "registry.internal/otel-agentrun", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "store": {"cluster": "agentrun"},
    "config": {"store": {"retention": {"traces_days": 7}}, "runs": {"quiet_secs": 60}},
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
    "extraVolumeMounts": [{"name": "tls", "mountPath": "/etc/tls", "readOnly": True}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "agents"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "agents", "operator": "Exists"}],
    "priorityClassName": "high",
    "journal": {"size": "20Gi", "storageClass": "fast", "accessModes": ["ReadWriteOncePod"]},
    "serviceAccount": {"annotations": {"a": "b"}},
    "networkPolicy": {
        "storeTo": [{"namespaceSelector": {"matchLabels": {"name": "clickhouse"}}}],
        "extraEgress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "gateway": {"enabled": True, "replicaCount": 3},
    "clickhouse": {"operator": {"enabled": True, "shards": 2, "storageClass": "fast"}},
    "grafana": {
        "dashboards": {"enabled": True},
        "alerting": {"enabled": True},
        "datasource": {"enabled": True},
        "prometheus": {"url": "http://prometheus-operated.monitoring:9090"},
    },
}
VALUES: dict[str, dict[str, Any]] = {
    "least": {"existingSecret": "agentrun"},
    "embedded": {
        "existingSecret": "agentrun",
        "store": {"embedded": True},
        "grafana": {"alerting": {"enabled": True}, "datasource": {"enabled": True}},
    },
    "everything": EVERYTHING,
    "no secret": {},
    "two embedded": {
        "existingSecret": "agentrun",
        "store": {"embedded": True},
        "replicaCount": 2,
    },
    "embedded cluster": {
        "existingSecret": "agentrun",
        "store": {"embedded": True, "cluster": "agentrun"},
    },
    "unused operator": {
        "existingSecret": "agentrun",
        "store": {"embedded": True},
        "clickhouse": {"operator": {"enabled": True}},
    },
    "misspelled": {"existingSecret": "agentrun", "replicas": 3},
    "floating tag": {"existingSecret": "agentrun", "image": {"repository": "a", "tag": "latest"}},
    "literal key": {
        "existingSecret": "agentrun",
        "auth": {"keys": [{"name": "agents", "key": "abc"}]},
    },
    "password in url": {
        "existingSecret": "agentrun",
        "grafana": {"prometheus": {"url": "http://me:abc@prometheus:9090"}},
    },
}


@pytest.fixture(scope="module")
def helm() -> dict[str, dict[str, Any]]:
    """What Helm makes of each set of values."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "rendering.py"), str(CHART)],
        input=json.dumps(VALUES),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "No module named 'helm_python'" in done.stderr:
        pytest.skip("helm-python-sdk (PyPI), which is Helm as a library, is not installed")
    assert done.returncode == 0, done.stderr
    answer: dict[str, dict[str, Any]] = json.loads(done.stdout)
    for one in answer.values():
        one["resources"] = list(resources(one["documents"]))
    return answer


def resources(documents: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What kubectl would be given; dashboards are long, so each template is read once."""
    for template, text in documents.items():
        if template.endswith(".yaml"):
            yield from (one for one in yaml.load_all(text, yaml.CSafeLoader) if one)


def resource(answer: dict[str, Any], kind: str, name: str = NAME) -> dict[str, Any]:
    (found,) = (
        one for one in answer["resources"] if (one["kind"], one["metadata"]["name"]) == (kind, name)
    )
    return found


GOOD = ("least", "embedded", "everything")


@pytest.mark.parametrize("values", GOOD)
def test_helm_lints_and_renders_it(helm: dict[str, dict[str, Any]], values: str) -> None:
    """Strictly: nothing but the advice to have an icon."""
    answer = helm[values]
    assert answer["error"] == ""
    assert [one for one in answer["messages"] if "icon is recommended" not in one["error"]] == []


@pytest.mark.parametrize("values", GOOD)
def test_kubernetes_would_take_every_resource(helm: dict[str, dict[str, Any]], values: str) -> None:
    """Against the OpenAPI schemas of an old, a recent and the newest version, strictly."""
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate (PyPI) is not installed"
    )
    operators = {"ServiceMonitor", "ClickHouseInstallation", "ClickHouseKeeperInstallation"}
    checked = 0
    for one in helm[values]["resources"]:
        if one["kind"] in operators:
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(one, version, strict=True)
        checked += 1
    assert checked >= 8
    names = [(one["kind"], one["metadata"]["name"]) for one in helm[values]["resources"]]
    assert len(names) == len(set(names))
    assert all(len(name) <= 63 for kind, name in names if kind != "ConfigMap")


@pytest.mark.parametrize("values", GOOD)
def test_pods_are_hardened_and_watched(helm: dict[str, dict[str, Any]], values: str) -> None:
    """As the "restricted" Pod Security Standard asks, and read-only, bounded, pinned."""
    pods = [
        (one["metadata"]["name"], one["spec"].get("template", one)["spec"])
        for one in helm[values]["resources"]
        if one["kind"] in ("StatefulSet", "Deployment", "Pod")
    ]  # fmt: skip
    assert len(pods) == (3 if values == "everything" else 2)
    for name, spec in pods:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert re.search(r":\d+\.\d+\.\d+$|@sha256:[0-9a-f]{64}$", container["image"])
            if "Never" not in spec.get("restartPolicy", ""):
                assert {"livenessProbe", "readinessProbe"} <= set(container), name
            for variable in container.get("env", ()):
                assert not re.search(r"(?i)password|token|_key$", variable["name"])


def test_the_journal_outlives_its_pod_and_a_pod_its_drain(
    helm: dict[str, dict[str, Any]],
) -> None:
    """What was acknowledged is on a volume that Kubernetes keeps; stopping takes 20 s at most."""
    spec = resource(helm["everything"], "StatefulSet")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "20Gi"}},
    }
    pod = spec["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 45
    assert pod["enableServiceLinks"] is False, "they would look like settings"
    (container,) = pod["containers"]
    mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
    assert mounts["/var/lib/agentrun"]["name"] == "data"
    assert set(mounts) == {
        "/var/lib/agentrun", "/etc/agentrun", "/run/secrets/agentrun", "/tmp", "/etc/tls",
    }  # fmt: skip
    probes = [container[f"{one}Probe"]["httpGet"]["path"] for one in ("startup", "liveness")]
    assert probes == ["/healthz", "/healthz"]
    (test,) = resource(helm["least"], "Pod", f"{NAME}-ready")["spec"]["containers"]
    assert test["args"] == ["agentrun-health", "readyz"]


@pytest.mark.parametrize("values", GOOD)
def test_the_collector_reads_its_settings(
    helm: dict[str, dict[str, Any]], values: str, tmp_path: Path
) -> None:
    """The ConfigMap, with the collector's own reader and variables as of the Secret."""
    file = tmp_path / "agentrun.yaml"
    file.write_text(resource(helm[values], "ConfigMap")["data"]["agentrun.yaml"], encoding="utf-8")
    env = {
        "INGEST_KEY": "i" * 32,
        "READ_KEY": "r" * 32,
        "AGENTRUN_API_KEY": "a" * 32,
    }
    if values != "embedded":
        env["AGENTRUN_STORE_URL"] = "clickhouse://agentrun:x@clickhouse:8123/agentrun"

    config = load(file, env)

    assert config.data_dir == Path("/var/lib/agentrun")
    assert [config.receiver.grpc.port, config.receiver.http.port, config.api.port] == [
        4317, 4318, 4319,
    ]  # fmt: skip
    service = resource(helm[values], "Service")
    assert {f"{service['metadata']['name']}.obs.svc"} <= set(config.api.allowed_hosts)
    assert config.serves_reads == (values == "embedded")
    ports = {port["port"] for port in service["spec"]["ports"]}
    assert ports == {at.port for at in config.listeners.values()}
    if values == "everything":
        assert config.store.cluster == "agentrun"
        assert config.store.retention.traces_days == 7
        assert config.runs.quiet_secs == 60


def test_settings_that_change_roll_the_pods(helm: dict[str, dict[str, Any]]) -> None:
    """The collector reads them once."""
    sums = {
        resource(helm[values], "StatefulSet")["spec"]["template"]["metadata"]["annotations"][
            "checksum/config"
        ]
        for values in ("least", "everything")
    }
    assert len(sums) == 2


def test_services_find_the_collectors(helm: dict[str, dict[str, Any]]) -> None:
    """Selectors match the pods' labels and no other pods; the gateway asks the headless service."""
    answer = helm["everything"]
    labels = resource(answer, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    gateway = resource(answer, "Deployment", f"{NAME}-gateway")
    others = gateway["spec"]["template"]["metadata"]["labels"]
    for name in (NAME, f"{NAME}-headless"):
        selector = resource(answer, "Service", name)["spec"]["selector"]
        assert selector.items() <= labels.items()
        assert not selector.items() <= others.items()
    assert resource(answer, "Service", f"{NAME}-headless")["spec"]["clusterIP"] == "None"
    assert resource(answer, "StatefulSet")["spec"]["serviceName"] == f"{NAME}-headless"
    selector = resource(answer, "Service", f"{NAME}-gateway")["spec"]["selector"]
    assert selector.items() <= others.items()
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        spec = resource(answer, kind)["spec"]
        wanted = (spec.get("selector") or spec["podSelector"])["matchLabels"]
        assert wanted.items() <= labels.items()


def test_the_gateways_of_chart_and_file_are_the_same(helm: dict[str, dict[str, Any]]) -> None:
    """But for what differs: addresses, and where the collectors are found."""
    text = resource(helm["everything"], "ConfigMap", f"{NAME}-gateway")["data"]["otelcol.yaml"]
    chart = yaml.safe_load(text)
    file = yaml.safe_load(
        (DEPLOY / "gateway" / "otelcol.yaml")
        .read_text(encoding="utf-8")
        .replace("${env:AGENTRUN_GATEWAY_BIND:-127.0.0.1}", "0.0.0.0")
        .replace("host: 127.0.0.1, port: 8888", "host: 0.0.0.0, port: 8888")
    )
    resolver = chart["exporters"]["loadbalancing"].pop("resolver")
    assert list(file["exporters"]["loadbalancing"].pop("resolver")) == ["static"]
    assert resolver["dns"]["hostname"] == f"{NAME}-headless.obs.svc.cluster.local"
    assert chart == file


def test_traffic_is_what_the_policy_names(helm: dict[str, dict[str, Any]]) -> None:
    """In: OTLP from senders and the gateway, the API from readers.  Out: names and ClickHouse."""
    spec = resource(helm["everything"], "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    ports = [sorted(port["port"] for port in rule["ports"]) for rule in spec["ingress"]]
    assert ports == [[4317, 4318], [4319]]
    assert len(spec["ingress"][0]["from"]) == 2
    assert [sorted(port["port"] for port in rule["ports"]) for rule in spec["egress"]] == [
        [53, 53],
        [8123, 8443],
        [443],
    ]
    embedded = resource(helm["embedded"], "NetworkPolicy")["spec"]
    assert [[port["port"] for port in rule["ports"]] for rule in embedded["egress"]] == [[53, 53]]
    assert [port["port"] for port in embedded["ingress"][1]["ports"]] == [4319, 8123]


def test_the_resources_of_operators_name_what_exists(helm: dict[str, dict[str, Any]]) -> None:
    """No schema of theirs is at hand: references, secrets and rights are compared instead."""
    answer = helm["everything"]
    monitor = resource(answer, "ServiceMonitor")["spec"]["endpoints"][0]
    assert monitor["authorization"]["credentials"] == {"name": "agentrun", "key": "READ_KEY"}
    ports = {port["name"] for port in resource(answer, "Service")["spec"]["ports"]}
    assert monitor["port"] in ports
    spec = resource(answer, "ClickHouseInstallation")["spec"]
    (cluster,) = spec["configuration"]["clusters"]
    assert (cluster["name"], cluster["layout"]) == (
        "agentrun",
        {"shardsCount": 2, "replicasCount": 2},
    )
    (keeper,) = spec["configuration"]["zookeeper"]["nodes"]
    assert keeper["host"] == f"keeper-{NAME}"
    resource(answer, "ClickHouseKeeperInstallation")
    users = spec["configuration"]["users"]
    written = (DEPLOY / "clickhouse" / "users.d" / "agentrun.xml").read_text(encoding="utf-8")
    for user in ("agentrun", "grafana"):
        reference = users[f"{user}/password_sha256_hex"]["valueFrom"]["secretKeyRef"]
        assert reference["name"] == "agentrun"
        block = written.partition(f"<{user}>")[2].partition(f"</{user}>")[0]
        assert users[f"{user}/grants/query"] == re.findall("<query>(.+)</query>", block)


@pytest.mark.parametrize(
    ("label", "pattern"),
    [("grafana_dashboard", "json/*.json"), ("grafana_alert", "alerting/*.yaml")],
)
def test_dashboards_and_alert_rules_are_config_maps(
    helm: dict[str, dict[str, Any]], label: str, pattern: str
) -> None:
    """The file's text, byte for byte, under the limit of a ConfigMap (1 MiB)."""
    found = labelled(helm["everything"], label)
    files = sorted((ROOT / "dashboards").glob(pattern))
    assert found == {file.name: file.read_text(encoding="utf-8") for file in files}
    assert all(len(text.encode()) < 1 << 20 for text in found.values())


def labelled(answer: dict[str, Any], label: str) -> dict[str, str]:
    """File -> text of the ConfigMaps that a sidecar of Grafana's picks up."""
    return {
        file: text
        for one in answer["resources"]
        if one["metadata"].get("labels", {}).get(label) == "1"
        for file, text in one["data"].items()
    }


def datasources(text: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load(text)["datasources"]
    return listed


def test_the_datasources_are_those_of_compose(helm: dict[str, dict[str, Any]]) -> None:
    """Dashboards and rules ask for them by uid; the password stays with Grafana."""
    (text,) = labelled(helm["everything"], "grafana_datasource").values()
    chart = datasources(text)
    file = DEPLOY / "grafana" / "provisioning" / "datasources" / "agentrun.yaml"
    compose = datasources(file.read_text(encoding="utf-8"))
    assert [[one[key] for key in ("name", "uid", "type")] for one in chart] == [
        [one[key] for key in ("name", "uid", "type")] for one in compose
    ]
    assert chart[0]["secureJsonData"]["password"].startswith("$__file{/")
    assert chart[1]["url"] == EVERYTHING["grafana"]["prometheus"]["url"]
    monitor = resource(helm["everything"], "ServiceMonitor")["spec"]["endpoints"][0]
    assert chart[1]["jsonData"]["timeInterval"] == monitor["interval"]


def test_without_a_prometheus_nothing_asks_for_one(helm: dict[str, dict[str, Any]]) -> None:
    """No data source that leads nowhere, and no rules that ask it."""
    (text,) = labelled(helm["embedded"], "grafana_datasource").values()
    assert [one["uid"] for one in datasources(text)] == ["otel-agentrun"]
    rules = labelled(helm["embedded"], "grafana_alert")
    files = {file.name for file in (ROOT / "dashboards" / "alerting").glob("*.yaml")}
    assert set(rules) == files - {"collector.yaml"}
    assert not any("agentrun-prometheus" in text for text in rules.values())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("no secret", "existingSecret: name the Secret"),
        ("two embedded", "one process holds an embedded store"),
        ("embedded cluster", "an embedded store has no cluster"),
        ("unused operator", "nothing would use it"),
        ("misspelled", "replicas"),
        ("floating tag", "tag"),
        ("literal key", "auth"),
        ("password in url", "prometheus"),
    ],
)
def test_values_that_cannot_work_are_refused(
    helm: dict[str, dict[str, Any]], values: str, said: str
) -> None:
    """By name, before anything is installed."""
    assert helm[values]["documents"] == {}
    assert said in helm[values]["error"]


def test_the_chart_is_of_this_version() -> None:
    """Its default image is the one of this checkout."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{chart["appVersion"]}"\n' in project
    assert chart["version"] == chart["appVersion"]


def test_the_schema_knows_every_value() -> None:
    """It is read without Helm too: each default is valid, each value described."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(values, schema)
    assert set(values) <= set(schema["properties"])
