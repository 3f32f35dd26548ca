"""The bicycle shop behind the agents: orders, refunds, invoices, policies.  Nothing of ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

TOOL_SECS: Final = 0.015

Document = dict[str, Any]
Tool = Callable[..., Any]

POLICIES: Final[tuple[Document, ...]] = (
    {
        "id": "refunds-3",
        "score": 0.91,
        "version": "2026-03-02",
        "snippet": "Refunds go to the card that paid, in 5 days.",
    },
    {
        "id": "returns-1",
        "score": 0.77,
        "version": "2023-11-20",
        "snippet": "Unused parts can be returned for 30 days.",
    },
)


def policies(query: str) -> list[Document]:
    """What the shop has written down about `query`, best first; nothing about repairs."""
    time.sleep(TOOL_SECS)
    return [] if "repair" in query else list(POLICIES)


class Shop:
    """Its systems, as the agents' tools see them.  The payment provider is slow to wake up."""

    def __init__(self) -> None:
        self._is_awake = False

    @property
    def tools(self) -> Mapping[str, Tool]:
        return {
            "find_order": self.find_order,
            "refund": self.refund,
            "refund_status": self.refund_status,
            "read_invoice": self.read_invoice,
        }

    def find_order(self, order_id: str) -> dict[str, Any]:
        time.sleep(TOOL_SECS)
        found = {"order_id": order_id, "item": "brake lever", "paid_eur": 49.9}
        return found if order_id == "4711" else {"orders": []}

    def refund(self, order_id: str, amount_eur: float) -> dict[str, Any]:
        time.sleep(TOOL_SECS)
        return {"refund_id": "r-88", "order_id": order_id, "amount_eur": amount_eur}

    def refund_status(self, refund_id: str) -> dict[str, Any]:
        """Raises TimeoutError, the first time."""
        time.sleep(TOOL_SECS)
        if not self._is_awake:
            self._is_awake = True
            raise TimeoutError("the payment provider did not answer within 10 s")
        return {"refund_id": refund_id, "state": "sent to the bank"}

    def read_invoice(self, invoice_id: str) -> dict[str, Any]:
        time.sleep(TOOL_SECS)
        return {"invoice_id": invoice_id, "shipping_eur": [4.95, 4.95]}
