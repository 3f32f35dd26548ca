#!/bin/sh
# Writes the secrets of compose.yaml and compose.embedded.yaml, each of 256 random bits; keeps those
# that are there, so that it can be run again.  `sh make-secrets.sh [FOLDER]`, else AGENTRUN_SECRETS,
# else ./secrets.
set -eu
cd "$(dirname "$0")"
folder=${1:-${AGENTRUN_SECRETS:-./secrets}}

# Only you may enter the folder.  The files in it are readable for all, because a container's user is
# not you, and Compose mounts them as they are.
umask 022
mkdir -p "$folder"
chmod 0700 "$folder"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }
keep() { [ -s "$folder/$1" ] || printf '%s' "$2" >"$folder/$1"; }
read_secret() { cat "$folder/$1"; }

keep INGEST_KEY "$(random)"
keep READ_KEY "$(random)"
keep AGENTRUN_API_KEY "$(random)"
keep OTEL_EXPORTER_OTLP_HEADERS "Authorization=Bearer%20$(read_secret INGEST_KEY)"
keep AGENTRUN_STORE_URL "clickhouse://agentrun:$(random)@clickhouse:8123/agentrun"
keep grafana_clickhouse_password "$(random)"
keep grafana_admin_password "$(random)"

# ClickHouse gets digests only; made anew, as they follow from the two passwords.
writer=$(read_secret AGENTRUN_STORE_URL | sed 's,^[^:]*://[^:]*:\([^@]*\)@.*$,\1,' | tr -d '\n' | sha256)
reader=$(read_secret grafana_clickhouse_password | tr -d '\n' | sha256)
printf '<clickhouse>\n  <agentrun_sha256>%s</agentrun_sha256>\n  <grafana_sha256>%s</grafana_sha256>\n</clickhouse>\n' \
  "$writer" "$reader" >"$folder/clickhouse_users.xml"

echo "Secrets are in $folder.  Grafana: user agentrun, password in $folder/grafana_admin_password"
