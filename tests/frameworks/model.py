"""An OpenAI server that answers by a script: a tool call, then the answer, unless it is given one.

Chat completions, also streamed, and the Responses API (`forms`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from tests.frameworks import forms

INPUT_TOKENS: Final = 1000
OUTPUT_TOKENS: Final = 100
"""Of every call; of gpt-4o-mini at the built-in price: 0.00021 USD."""
MODEL: Final = "gpt-4o-mini"

Answer = Callable[[dict[str, Any], int], dict[str, Any]]


class ModelServer:
    """Use as a context manager; `url` is what clients call the base URL."""

    def __init__(self, answer: Answer | None = None) -> None:
        """`answer` gives the completion of a request as one of chat completions, and its number."""
        reply = answer or answer_once
        self.calls: list[dict[str, Any]] = []
        """What was asked, in order."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not self.path.endswith(("/completions", "/responses")):
                    self._send(b"{}", "application/json")
                    return
                server.calls.append(asked)
                made = reply(forms.as_chat(asked), len(server.calls))
                is_stream = asked.get("stream", False)
                is_response = self.path.endswith("/responses")
                if is_stream:
                    stream = forms.as_response_stream if is_response else forms.as_stream
                    body = stream(made)
                else:
                    body = json.dumps(forms.as_response(made) if is_response else made).encode()
                self._send(body, "text/event-stream" if is_stream else "application/json")

            def _send(self, body: bytes, media_type: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Not on the test's terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


def answer_once(asked: dict[str, Any], number: int) -> dict[str, Any]:
    """Call the first tool that is offered, once; then say what it gave."""
    results = [message for message in asked["messages"] if message["role"] == "tool"]
    if asked.get("tools") and not results:
        function = asked["tools"][0]["function"]
        name = next(iter(function["parameters"]["properties"]))
        call = {"name": function["name"], "arguments": json.dumps({name: "tea?"})}
        return completion(
            number, tool_calls=[{"id": f"call_{number}", "type": "function", "function": call}]
        )
    return completion(number, content=f"It says: {results[-1]['content']}" if results else "Hello.")


def completion(
    number: int, *, content: str | None = None, tool_calls: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """An answer, or calls of tools."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if tool_calls:
        message["tool_calls"] = tool_calls
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": f"{MODEL}-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if tool_calls else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        },
    }
