"""Which settings a reader may give, as parameters of the URL or in a SETTINGS clause.

Settings of a URL are lowered to the limits where they ask for more, as drivers send their own
deadlines; a SETTINGS clause cannot be lowered, so one that asks for more is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.clickhouse_http.errors import ServerError

HARMLESS: Final = re.compile(
    "output_format_(?!.*(?:schema|compression_level|dictionary))"
    "(?:arrow|binary|bson|csv|decimal|json|markdown|msgpack|native|orc|parquet|pretty|sql_insert"
    r"|tsv|values|write|xml)_\w+"
    "|date_time_(?:input|output)_format|format_csv_delimiter"
    "|format_csv_allow_(?:single|double)_quotes|bool_(?:true|false)_representation"
    "|session_timezone|join_use_nulls|group_by_use_nulls|transform_null_in|union_default_mode"
    "|aggregate_functions_null_for_empty|prefer_column_name_to_alias|extremes|final|limit|offset"
    "|cast_keep_nullable|cast_string_to_(?:dynamic|variant)_use_inference|first_day_of_week|max_block_size|optimize_\\w+"
    "|do_not_merge_across_partitions_select_final|use_skip_indexes(?:_if_final)?|force_primary_key"
    "|force_index_by_date|ignore_data_skipping_indices"
)
"""They shape the result or the way to it, and reach nothing."""
TRANSPORT: Final = frozenset({
    "enable_http_compression", "http_zlib_compression_level", "wait_end_of_query", "buffer_size",
    "http_response_buffer_size", "http_wait_end_of_query", "http_write_exception_in_output_format",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms",
    "cancel_http_readonly_queries_on_client_close", "log_queries", "log_comment",
    "log_profile_events",
    "send_logs_level", "priority", "use_query_cache", "connect_timeout", "send_timeout",
    "receive_timeout", "async_insert", "wait_for_async_insert", "insert_deduplicate",
    "send_profile_events", "allow_experimental_analyzer", "enable_analyzer",
    "allow_experimental_json_type", "allow_experimental_object_type", "enable_json_type",
    "allow_experimental_variant_type", "allow_experimental_dynamic_type", "enable_time_time64_type",
})  # fmt: skip
"""Taken and not passed on: about the connection, or about what no reader does."""
FILTERS: Final = "additional_table_filters"
"""Table -> condition in SQL: Grafana's ad hoc filters.  The guard reads the conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """Of one query."""

    secs_max: float = 30.0
    memory_bytes_max: int = 1 << 30
    result_rows_max: int = 1_000_000
    result_bytes_max: int = 256 << 20
    threads_max: int = 2

    def caps(self) -> dict[str, float]:
        """Setting -> most that a reader may ask for; 0 would mean no limit."""
        return {
            "max_execution_time": self.secs_max,
            "max_memory_usage": self.memory_bytes_max,
            "max_result_rows": self.result_rows_max,
            "max_result_bytes": self.result_bytes_max,
            "max_threads": self.threads_max,
        }


FORCED: Final[Mapping[str, str]] = {
    "result_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
    "timeout_before_checking_execution_speed": "0",
    "implicit_select": "0",  # chDB's default takes `1 + 1` for a statement
    "max_parser_depth": "300",
    "allow_ddl": "0",
    "allow_introspection_functions": "0",
    "use_query_cache": "0",
    "do_not_merge_across_partitions_select_final": "1",
    "max_temporary_data_on_disk_size_for_query": str(1 << 30),
    "max_ast_elements": "50000",
    "max_expanded_ast_elements": "200000",
}


def of_request(given: Mapping[str, str], limits: QueryLimits) -> dict[str, str]:
    """What to SET for a request with these settings; `FILTERS` is left in for the guard.

    Raises ServerError for a setting that is not allowed.
    """
    caps = limits.caps()
    wanted = dict(FORCED)
    for name, value in given.items():
        if name in TRANSPORT or (name == "readonly" and value in ("1", "2")):
            continue
        if name in caps:
            asked = _number(name, value)
            caps[name] = min(asked, caps[name]) if asked > 0 else caps[name]
        elif name == FILTERS or HARMLESS.fullmatch(name):
            wanted[name] = value
        else:
            raise refused(name)
    for name, number in caps.items():
        wanted[name] = repr(number) if name == "max_execution_time" else str(int(number))
    return wanted


def in_query(name: str, value: object, limits: QueryLimits) -> None:
    """A setting of a SETTINGS clause.  Raises ServerError."""
    caps = limits.caps()
    if name in caps:
        asked = _number(name, value)
        if not 0 < asked <= caps[name]:
            raise ServerError(
                452,
                "SETTING_CONSTRAINT_VIOLATION",
                f"Setting {name} should be more than 0 and at most {caps[name]:g}, got {asked:g}",
            )
    elif name != FILTERS and not HARMLESS.fullmatch(name):
        raise refused(name)


def refused(name: str) -> ServerError:
    return ServerError(164, "READONLY", f"Cannot modify '{name}' setting in readonly mode.")


def _number(name: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        message = f"Setting {name} takes a number of at least 0, got {str(value)[:50]!r}"
        raise ServerError(72, "CANNOT_PARSE_NUMBER", message)
    return number
