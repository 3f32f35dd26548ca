ALTER TABLE otel_traces$local $on_cluster MODIFY SETTING min_bytes_for_wide_part = 268435456;

ALTER TABLE otel_traces$local $on_cluster RESET SETTING min_level_for_wide_part,
    vertical_merge_algorithm_min_rows_to_activate;

ALTER TABLE otel_logs$local $on_cluster MODIFY SETTING min_bytes_for_wide_part = 268435456;

ALTER TABLE otel_logs$local $on_cluster RESET SETTING min_level_for_wide_part,
    vertical_merge_algorithm_min_rows_to_activate;

ALTER TABLE agent_steps$local $on_cluster MODIFY SETTING min_bytes_for_wide_part = 67108864;

ALTER TABLE agent_steps$local $on_cluster RESET SETTING min_level_for_wide_part,
    vertical_merge_algorithm_min_rows_to_activate;

ALTER TABLE otel_traces_trace_id_ts$local $on_cluster RESET SETTING merge_selector_base;

ALTER TABLE agent_runs$local $on_cluster RESET SETTING merge_selector_base;

ALTER TABLE agent_events$local $on_cluster RESET SETTING merge_selector_base;
