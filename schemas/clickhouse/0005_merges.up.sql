-- Merging took as much CPU as inserting.  What is merged becomes wide and is merged column by column
-- (a compact part is merged row by row, all columns at once), while what is inserted stays compact;
-- and the small tables of every flush are merged as seldom as the large ones (docs/store.md).

ALTER TABLE otel_traces$local $on_cluster MODIFY SETTING min_level_for_wide_part = 1,
    min_bytes_for_wide_part = 16777216, vertical_merge_algorithm_min_rows_to_activate = 16384;

ALTER TABLE otel_logs$local $on_cluster MODIFY SETTING min_level_for_wide_part = 1,
    min_bytes_for_wide_part = 16777216, vertical_merge_algorithm_min_rows_to_activate = 16384;

ALTER TABLE agent_steps$local $on_cluster MODIFY SETTING min_level_for_wide_part = 1,
    min_bytes_for_wide_part = 16777216, vertical_merge_algorithm_min_rows_to_activate = 16384;

ALTER TABLE otel_traces_trace_id_ts$local $on_cluster MODIFY SETTING merge_selector_base = 20;

ALTER TABLE agent_runs$local $on_cluster MODIFY SETTING merge_selector_base = 20;

ALTER TABLE agent_events$local $on_cluster MODIFY SETTING merge_selector_base = 20;
