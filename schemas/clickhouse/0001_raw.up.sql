-- What OpenTelemetry sent.  Columns up to `Links.*` and `EventName` have the names and types of the
-- OpenTelemetry Collector's ClickHouse exporter, so that its readers work; ours come after them.
--
-- Slots: $local is "" or "_local", $on_cluster "" or "ON CLUSTER '<name>'", $replicated "" or
-- "Replicated".  A line `-- distributed: TABLE KEY` becomes a Distributed table in a cluster.
-- Retention is not a migration: `agentrun schema apply` sets each table's TTL from the config.
--
-- Compact parts and a wide merge fan-in: with 70 streams per part, small wide parts cost more CPU
-- than parsing, sorting and compressing together (docs/store.md has the figures).

CREATE TABLE IF NOT EXISTS otel_traces$local $on_cluster
(
    Timestamp DateTime64(9) CODEC(Delta(8), LZ4),
    TraceId String CODEC(LZ4),
    SpanId String CODEC(LZ4),
    ParentSpanId String CODEC(LZ4),
    TraceState String CODEC(LZ4),
    SpanName LowCardinality(String) CODEC(LZ4),
    SpanKind LowCardinality(String) CODEC(LZ4),
    ServiceName LowCardinality(String) CODEC(LZ4),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(LZ4),
    ScopeName String CODEC(LZ4),
    ScopeVersion String CODEC(LZ4),
    SpanAttributes Map(LowCardinality(String), String) CODEC(LZ4),
    Duration UInt64 CODEC(LZ4),
    StatusCode LowCardinality(String) CODEC(LZ4),
    StatusMessage String CODEC(LZ4),
    `Events.Timestamp` Array(DateTime64(9)) CODEC(LZ4),
    `Events.Name` Array(LowCardinality(String)) CODEC(LZ4),
    `Events.Attributes` Array(Map(LowCardinality(String), String)) CODEC(LZ4),
    `Links.TraceId` Array(String) CODEC(LZ4),
    `Links.SpanId` Array(String) CODEC(LZ4),
    `Links.TraceState` Array(String) CODEC(LZ4),
    `Links.Attributes` Array(Map(LowCardinality(String), String)) CODEC(LZ4),
    Flags UInt32 DEFAULT 0 CODEC(LZ4),
    IngestAttributes Map(LowCardinality(String), String) CODEC(LZ4),
    ReceivedAt DateTime64(9) DEFAULT now64(9) CODEC(Delta(8), LZ4),
    Version UInt64 DEFAULT 0 CODEC(LZ4)
)
ENGINE = ${replicated}ReplacingMergeTree(Version)
PARTITION BY toDate(Timestamp)
ORDER BY (toStartOfHour(Timestamp), TraceId, SpanId)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, auto_statistics_types = '',
    min_bytes_for_wide_part = 268435456, ratio_of_defaults_for_sparse_serialization = 1,
    merge_selector_base = 20;

-- distributed: otel_traces cityHash64(TraceId)

-- Written in the same flush as the spans (min and max are idempotent), not by a view.  Also answers
-- "is anything of these traces stored, and by which collector processes": about a thousand random
-- ids per flush, hence the small granules.
CREATE TABLE IF NOT EXISTS otel_traces_trace_id_ts$local $on_cluster
(
    TraceId String CODEC(LZ4),
    Start SimpleAggregateFunction(min, DateTime) CODEC(LZ4),
    End SimpleAggregateFunction(max, DateTime) CODEC(LZ4),
    ReceivedAt SimpleAggregateFunction(max, DateTime) CODEC(LZ4),
    Writers SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) CODEC(LZ4)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toStartOfWeek(Start)
ORDER BY TraceId
SETTINGS index_granularity = 128, min_compress_block_size = 4096, max_compress_block_size = 4096,
    ttl_only_drop_parts = 1, auto_statistics_types = '';

-- distributed: otel_traces_trace_id_ts cityHash64(TraceId)

CREATE TABLE IF NOT EXISTS otel_logs$local $on_cluster
(
    Timestamp DateTime64(9) CODEC(Delta(8), LZ4),
    TraceId String CODEC(LZ4),
    SpanId String CODEC(LZ4),
    TraceFlags UInt8 CODEC(LZ4),
    SeverityText LowCardinality(String) CODEC(LZ4),
    SeverityNumber UInt8 CODEC(LZ4),
    ServiceName LowCardinality(String) CODEC(LZ4),
    Body String CODEC(LZ4),
    ResourceSchemaUrl LowCardinality(String) CODEC(LZ4),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(LZ4),
    ScopeSchemaUrl LowCardinality(String) CODEC(LZ4),
    ScopeName String CODEC(LZ4),
    ScopeVersion LowCardinality(String) CODEC(LZ4),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(LZ4),
    LogAttributes Map(LowCardinality(String), String) CODEC(LZ4),
    EventName String CODEC(LZ4),
    IngestAttributes Map(LowCardinality(String), String) CODEC(LZ4),
    ReceivedAt DateTime64(9) DEFAULT now64(9) CODEC(Delta(8), LZ4),
    RecordId UInt64 DEFAULT 0 CODEC(LZ4),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp, RecordId)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, auto_statistics_types = '',
    min_bytes_for_wide_part = 268435456, ratio_of_defaults_for_sparse_serialization = 1,
    merge_selector_base = 20;

-- distributed: otel_logs cityHash64(TraceId)

-- Attribute values longer than `inline_value_bytes_max`, so that scans do not touch them.  Key is
-- the span attribute's key, or `events.<index>.<key>` for an attribute of a span event.
CREATE TABLE IF NOT EXISTS agent_content$local $on_cluster
(
    Timestamp DateTime64(9) CODEC(Delta(8), LZ4),
    TraceId String CODEC(LZ4),
    SpanId String CODEC(LZ4),
    Key LowCardinality(String) CODEC(LZ4),
    Value String CODEC(ZSTD(1)),
    ReceivedAt DateTime64(9) DEFAULT now64(9) CODEC(Delta(8), LZ4),
    Version UInt64 CODEC(LZ4)
)
ENGINE = ${replicated}ReplacingMergeTree(Version)
PARTITION BY toDate(Timestamp)
ORDER BY (toStartOfHour(Timestamp), TraceId, SpanId, Key)
SETTINGS index_granularity = 256, ttl_only_drop_parts = 1, auto_statistics_types = '',
    merge_selector_base = 20;

-- distributed: agent_content cityHash64(TraceId)
