"""Grafana dashboards as code: `make dashboards` writes `dashboards/json` from these modules.

One module per dashboard says which query files (`dashboards/queries`) it shows and how; `build`
makes panels of them, `look` decides colors and thresholds for all, `variables` what stands on top,
`links` where a click leads.
"""
