-- Ids of tool calls and responses by which the calls of a client without a span around them are tied
-- to one run (collector/runs/clients.py); empty for all other runs.

-- add column: agent_runs TieIds Array(String) CODEC(ZSTD(1)) AFTER TraceIds
