-- The decision ledger: one hash chain per collector, digests and ids only.  No partitions, so that
-- an insert is one part and a chain is never stored with a hole in it; no TTL, since what removes
-- the head of a chain has to leave a checkpoint in it.

CREATE TABLE IF NOT EXISTS decision_ledger$local $on_cluster
(
    ChainId LowCardinality(String),
    Seq UInt64 CODEC(Delta(8), ZSTD(1)),
    EventId String CODEC(ZSTD(1)),
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    RunId String CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    Kind LowCardinality(String),
    Outcome LowCardinality(String),
    Actor LowCardinality(String),
    Rule LowCardinality(String),
    PolicyVersion LowCardinality(String),
    RulesVersion LowCardinality(String),
    ReasonDigest String CODEC(ZSTD(1)),
    ContentDigest String CODEC(ZSTD(1)),
    PreviousHash String CODEC(ZSTD(1)),
    Hash String CODEC(ZSTD(1)),
    ReceivedAt DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1)),
    INDEX idx_event_id EventId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_run_id RunId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (ChainId, Seq, EventId)
SETTINGS index_granularity = 1024, auto_statistics_types = '';

-- distributed: decision_ledger cityHash64(ChainId)
