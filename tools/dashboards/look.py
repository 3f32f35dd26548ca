"""One look for all dashboards: colors of words, thresholds of shares, words for emptiness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)

EMPTY: Final = "Nothing in this period with these filters"
COLORS: Final[Mapping[str, str]] = {
    "completed": "green", "success": "green", "exact": "green",
    "initiated": "super-light-blue", "running": "blue", "paused": "yellow",
    "failed": "red", "failure": "red", "error": "red", "timed_out": "orange", "timeout": "orange",
    "killed": "purple", "cancelled": "purple", "soft_failure": "orange",
    "process_failure": "dark-yellow", "skipped": "gray", "unknown": "gray", "estimated": "yellow",
    "worse": "red", "better": "green", "no difference": "gray", "too few runs": "gray",
    "critical": "red", "warning": "orange", "info": "blue",
}  # fmt: skip
"""Words that mean the same on every panel have the same color."""

# A share of successes is good from above, one of failures from below.
GOOD: Final = ((None, "red"), (0.8, "orange"), (0.95, "green"))
BAD: Final = ((None, "green"), (0.05, "orange"), (0.2, "red"))
USED: Final = ((None, "green"), (0.8, "orange"), (1.0, "red"))
"""Of what may be used up."""
PLAIN: Final = ((None, "blue"),)
THRESHOLDS: Final = {"good": GOOD, "bad": BAD, "used": USED, "": PLAIN}


def thresholds(name: str) -> ThresholdsConfig:
    steps = [Threshold(value=value, color=color) for value, color in THRESHOLDS[name]]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def thresholds_property(name: str) -> DynamicConfigValue:
    steps = [{"value": value, "color": color} for value, color in THRESHOLDS[name]]
    return DynamicConfigValue("thresholds", {"mode": "absolute", "steps": steps})


def word_mappings() -> DynamicConfigValue:
    """Colors of the words in a column."""
    options = {
        word: {"color": color, "index": at} for at, (word, color) in enumerate(COLORS.items())
    }
    mappings: list[dict[str, Any]] = [{"type": "value", "options": options}]
    return DynamicConfigValue("mappings", mappings)
