{{- define "agentrun.name" -}}
{{- .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* 40 characters at most: pods, services and volumes add to it. */ -}}
{{- define "agentrun.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "agentrun.selector" -}}
app.kubernetes.io/name: {{ include "agentrun.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agentrun.labels" -}}
{{ include "agentrun.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "agentrun.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* agentrun.yaml: what the chart decides, then `config` over it. */ -}}
{{- define "agentrun.config" -}}
{{- $full := include "agentrun.fullname" . -}}
{{- $hosts := list -}}
{{- range $name := list $full (printf "%s-headless" $full) -}}
{{- $hosts = concat $hosts (list $name (printf "%s.%s" $name $.Release.Namespace) (printf "%s.%s.svc" $name $.Release.Namespace) (printf "%s.%s.svc.cluster.local" $name $.Release.Namespace)) -}}
{{- end -}}
{{- $config := dict
  "data_dir" "/var/lib/agentrun"
  "receiver" (dict "grpc" (dict "address" "0.0.0.0:4317") "http" (dict "address" "0.0.0.0:4318"))
  "api" (dict "address" "0.0.0.0:4319" "allowed_hosts" $hosts)
  "auth" (dict "keys" .Values.auth.keys) -}}
{{- if .Values.store.embedded -}}
{{- $config = set $config "read_endpoint" (dict "address" "0.0.0.0:8123") -}}
{{- end -}}
{{- with .Values.store.cluster -}}
{{- $config = set $config "store" (dict "cluster" .) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config)) -}}
{{- end -}}

{{- define "agentrun.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "agentrun.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Contradictions that a schema cannot see. */ -}}
{{- define "agentrun.check" -}}
{{- if not .Values.existingSecret -}}
{{- fail "existingSecret: name the Secret with the keys (and AGENTRUN_STORE_URL); docs/deploy.md, Kubernetes" -}}
{{- end -}}
{{- if and .Values.store.embedded (gt (int .Values.replicaCount) 1) -}}
{{- fail "store.embedded: one process holds an embedded store; set replicaCount to 1, or use ClickHouse" -}}
{{- end -}}
{{- if and .Values.store.embedded .Values.store.cluster -}}
{{- fail "store.cluster: an embedded store has no cluster; delete one of the two" -}}
{{- end -}}
{{- if and .Values.store.embedded .Values.clickhouse.operator.enabled -}}
{{- fail "clickhouse.operator: nothing would use it with store.embedded; disable one of the two" -}}
{{- end -}}
{{- end -}}

{{- /* As deploy/gateway/otelcol.yaml, where each choice is explained; a test compares the two. */ -}}
{{- define "agentrun.gatewayConfig" -}}
extensions:
  health_check: {endpoint: "0.0.0.0:13133"}
  headers_setter:
    headers:
      - {action: upsert, key: authorization, from_context: authorization}
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "0.0.0.0:4317", include_metadata: true, max_recv_msg_size_mib: 64}
      http: {endpoint: "0.0.0.0:4318", include_metadata: true, max_request_body_size: 67108864}
processors:
  memory_limiter: {check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 20}
exporters:
  loadbalancing:
    routing_key: traceID
    protocol:
      otlp:
        timeout: 30s
        auth: {authenticator: headers_setter}
        compression: gzip
        tls: {insecure: true}
        sending_queue: {enabled: false}
        retry_on_failure: {enabled: true, initial_interval: 500ms, max_interval: 5s, max_elapsed_time: 30s}
    resolver:
      dns: {hostname: {{ . }}, port: "4317", interval: 5s, timeout: 2s}
service:
  extensions: [health_check, headers_setter]
  pipelines:
    traces: {receivers: [otlp], processors: [memory_limiter], exporters: [loadbalancing]}
    logs: {receivers: [otlp], processors: [memory_limiter], exporters: [loadbalancing]}
  telemetry:
    metrics:
      readers:
        - pull: {exporter: {prometheus: {host: 0.0.0.0, port: 8888}}}
{{- end -}}
