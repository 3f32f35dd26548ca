module otel-agentrun/tests/clickhouse

go 1.24

require github.com/ClickHouse/clickhouse-go/v2 v2.48.0
