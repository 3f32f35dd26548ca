"""What the demo's customers ask: one case for each thing worth seeing in a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from collector.demo.agent import TURNS_MAX, Case, Reply, ToolCall

INSTRUCTIONS: Final = "You answer customers of a bicycle shop. Be brief. Never promise a date."
BILLING_INSTRUCTIONS: Final = "You settle questions about invoices. Name the amounts."
POLICIES: Final = (
    {"id": "refunds-3", "score": 0.91, "snippet": "Refunds go to the card that paid, in 5 days."},
    {"id": "returns-1", "score": 0.77, "snippet": "Unused parts can be returned for 30 days."},
)


class ModelOverloadedError(Exception):
    """The model's provider answered 503."""


def cases() -> Sequence[Case]:
    """In the order in which they are asked; tools that remember are new every time."""
    return (refund(), refund_status(), invoice(), lost_in_a_loop(), no_model())


def asks(name: str, call_id: str, *, tokens: tuple[int, int, int], **arguments: Any) -> Reply:
    """The model wants one tool; `tokens` are input, cached and output."""
    return Reply(
        calls=(ToolCall(name, arguments, call_id),),
        input_tokens=tokens[0],
        cached_tokens=tokens[1],
        output_tokens=tokens[2],
    )


def says(text: str, *, tokens: tuple[int, int, int]) -> Reply:
    return Reply(
        text=text, input_tokens=tokens[0], cached_tokens=tokens[1], output_tokens=tokens[2]
    )


def refund() -> Case:
    return Case(
        title="two tools, then an answer",
        user_id="user-anna",
        session_id="chat-1001",
        question="The brake lever of order 4711 is bent. I want my money back.",
        script=(
            asks("find_order", "call_1", tokens=(412, 0, 21), order_id="4711"),
            asks("refund", "call_2", tokens=(498, 384, 34), order_id="4711", amount_eur=49.9),
            says("I have refunded 49.90 EUR to your card.", tokens=(561, 384, 18)),
        ),
        tools={
            "find_order": lambda order_id: {"order_id": order_id, "item": "brake lever"},
            "refund": lambda order_id, amount_eur: {"refund_id": "r-88", "amount_eur": amount_eur},
        },
    )


def refund_status() -> Case:
    return Case(
        title="a tool times out, the retry works",
        user_id="user-anna",
        session_id="chat-1001",
        question="Where is my refund now?",
        script=(
            asks("refund_status", "call_1", tokens=(433, 384, 19), refund_id="r-88"),
            asks("refund_status", "call_2", tokens=(470, 384, 19), refund_id="r-88"),
            says("Your bank has it; it takes up to five days.", tokens=(512, 384, 22)),
        ),
        tools={"refund_status": fails_once(lambda refund_id: {"id": refund_id, "state": "sent"})},
    )


def invoice() -> Case:
    question = "Invoice 2024-77 lists shipping twice. Is that right?"
    asked = Case(
        title="the specialist, as a child run",
        user_id="user-ben",
        session_id="chat-1002",
        question=question,
        script=(
            asks("read_invoice", "call_1", tokens=(265, 0, 27), invoice_id="2024-77"),
            says("Shipping is billed twice: 4.95 EUR too much.", tokens=(348, 0, 41)),
        ),
        tools={"read_invoice": lambda invoice_id: {"shipping_eur": [4.95, 4.95]}},
    )
    return Case(
        title="a tool is another agent",
        user_id=asked.user_id,
        session_id=asked.session_id,
        question=question,
        script=(
            asks("ask_billing", "call_1", tokens=(407, 384, 29), question=question),
            says("You are right, we return 4.95 EUR.", tokens=(473, 384, 20)),
        ),
        tools={"ask_billing": lambda question: asked},
    )


def lost_in_a_loop() -> Case:
    """The order does not exist, and the model does not take that for an answer."""
    return Case(
        title="the same call again and again, until the turns run out",
        user_id="user-cleo",
        session_id="chat-1003",
        question="When does order 9999 arrive?",
        script=tuple(
            asks("find_order", f"call_{n}", tokens=(400 + 60 * n, 384, 21), order_id="9999")
            for n in range(1, TURNS_MAX + 1)
        ),
        tools={"find_order": lambda order_id: {"orders": []}},
    )


def no_model() -> Case:
    return Case(
        title="the model cannot be reached",
        user_id="user-dirk",
        session_id="chat-1004",
        question="Do you repair e-bikes?",
        script=(ModelOverloadedError("503: the model is overloaded, try again later"),),
        tools={},
    )


def fails_once(tool: Callable[..., Any]) -> Callable[..., Any]:
    """The tool, with a first call that times out."""
    calls = 0

    def called(**arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise TimeoutError("the payment provider did not answer within 10 s")
        return tool(**arguments)

    return called
