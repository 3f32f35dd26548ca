-- Ids of tool calls and responses by which the calls of a client without a span around them are tied
-- to one run (collector/runs/clients.py); empty for all other runs.

-- add column: agent_runs TieIds Array(String) CODEC(ZSTD(1)) AFTER TraceIds

ALTER TABLE agent_runs$local $on_cluster
    ADD INDEX IF NOT EXISTS idx_tie_ids TieIds TYPE bloom_filter(0.001) GRANULARITY 1;
