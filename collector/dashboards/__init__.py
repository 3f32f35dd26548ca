"""The dashboards' queries: read from `dashboards/queries`, filled in as Grafana fills them in.

`query` reads the files, `scope` says what they can be grouped, filtered and limited by, `macros`
expands what the Grafana plugin expands, `stats` answers `agentrun stats`, `export` writes files.
The panels themselves are made by `tools.dashboards` (`make dashboards`).
"""
