"""What the customers ask: one case for each thing worth seeing in a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.demo.scripted_model import ModelOverloadedError, asks, says
from collector.demo.support import TURNS_MAX, Case

INSTRUCTIONS: Final[Mapping[str, str]] = {
    "12": "You answer customers of a bicycle shop. Be brief.",
    "13": "You answer customers of a bicycle shop. Be brief. Never promise a date.",
}
"""Version 13 is what the guardrail taught."""
BILLING_INSTRUCTIONS: Final[Mapping[str, str]] = {
    "4": "You settle questions about invoices. Name the amounts."
}

REFUND: Final = Case(
    title="two tools, then an answer",
    question="The brake lever of order 4711 is bent. I want my money back.",
    user="user-anna",
    session="chat-1001",
    prompt_version="12",
    script=(
        asks("find_order", order_id="4711", tokens=(412, 0, 21)),
        asks("refund", order_id="4711", amount_eur=49.9, tokens=(498, 384, 34)),
        says("I have refunded 49.90 EUR to your card.", tokens=(561, 384, 18)),
    ),
)
REFUND_STATUS: Final = Case(
    title="a tool times out, the retry works",
    question="Where is my refund now?",
    user="user-anna",
    session="chat-1001",
    prompt_version="12",
    script=(
        asks("refund_status", refund_id="r-88", tokens=(433, 384, 19)),
        asks("refund_status", refund_id="r-88", tokens=(470, 384, 19)),
        says("Your bank has it; it will be there tomorrow.", tokens=(512, 384, 22)),
        says("Your bank has it; it takes up to five days.", tokens=(548, 384, 22)),
    ),
)
THANKS: Final = Case(
    title="the same session, with the next version of the prompt",
    question="Thank you! When will I see it?",
    user="user-anna",
    session="chat-1001",
    prompt_version="13",
    script=(says("Your bank needs up to five days.", tokens=(440, 384, 11)),),
)
INVOICE: Final = Case(
    title="handed over to billing, which is a child run",
    question="Invoice 2024-77 lists shipping twice. Is that right?",
    user="user-ben",
    session="chat-1002",
    prompt_version="13",
    script=(
        asks("transfer_to_billing_agent", reason="about an invoice", tokens=(407, 384, 29)),
        says("You are right, we return 4.95 EUR.", tokens=(473, 384, 20)),
    ),
    passed_on=Case(
        title="the colleague's part",
        question="Is shipping on invoice 2024-77 right?",
        user="user-ben",
        session="chat-1002",
        prompt_version="4",
        script=(
            asks("read_invoice", invoice_id="2024-77", tokens=(265, 0, 27)),
            says("Shipping is billed twice: 4.95 EUR too much.", tokens=(348, 0, 41)),
        ),
    ),
)
LOOP: Final = Case(
    title="the same call again and again, until the turns run out",
    question="When does order 9999 arrive?",
    user="user-cleo",
    session="chat-1003",
    prompt_version="13",
    # The order does not exist, and the model does not take that for an answer.
    script=tuple(
        asks("find_order", order_id="9999", tokens=(460 + 60 * turn, 384, 21))
        for turn in range(TURNS_MAX)
    ),
)
NO_MODEL: Final = Case(
    title="the model cannot be reached",
    question="Do you repair e-bikes?",
    user="user-dirk",
    session="chat-1004",
    prompt_version="13",
    script=(ModelOverloadedError("the model is overloaded, try again later"),),
)

CASES: Final = (REFUND, REFUND_STATUS, THANKS, INVOICE, LOOP, NO_MODEL)
"""In the order in which they are asked."""
