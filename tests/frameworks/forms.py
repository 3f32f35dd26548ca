"""A chat completion in the other forms that clients ask for: streams, the Responses API."""

from __future__ import annotations

import json
from typing import Any


def as_chat(asked: dict[str, Any]) -> dict[str, Any]:
    """A request of the Responses API as one of chat completions."""
    if "input" not in asked:
        return asked
    given = asked["input"]
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else []
    for item in given if isinstance(given, list) else ():
        if item.get("type") == "function_call_output":
            messages.append({"role": "tool", "content": item["output"]})
        elif "role" in item:
            messages.append({"role": item["role"], "content": item["content"]})
    tools = [{"type": "function", "function": tool} for tool in asked.get("tools", ())]
    return {"messages": messages, "tools": tools}


def as_response(completion: dict[str, Any]) -> dict[str, Any]:
    """The completion as an object of the Responses API."""
    message = completion["choices"][0]["message"]
    output: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "id": f"fc_{call['id']}",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"],
            "status": "completed",
        }
        for call in message.get("tool_calls", ())
    ]
    if message["content"]:
        text = {"type": "output_text", "text": message["content"], "annotations": []}
        output.append(
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [text],
            }
        )
    usage = completion["usage"]
    return {
        "id": completion["id"].replace("chatcmpl", "resp"),
        "object": "response",
        "created_at": completion["created"],
        "model": completion["model"],
        "status": "completed",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def as_stream(completion: dict[str, Any]) -> bytes:
    """The completion as server-sent events: the message, a chunk for each tool call, why it ended,
    the usage."""
    choice = completion["choices"][0]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "tool_calls": [{**call, "index": n}]}
        for n, call in enumerate(message.get("tool_calls", ()))
    ]
    common = {**completion, "object": "chat.completion.chunk", "usage": None}
    chunks = [
        {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas or [message]
    ]
    chunks += [
        {
            **common,
            "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}],
        },
        {**common, "choices": [], "usage": completion["usage"]},
    ]
    lines = [json.dumps(chunk) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


def as_response_stream(completion: dict[str, Any]) -> bytes:
    """The completion as the last event of a streamed response, which has all of it."""
    event = {
        "type": "response.completed",
        "sequence_number": 0,
        "response": as_response(completion),
    }
    return f"event: response.completed\ndata: {json.dumps(event)}\n\n".encode()
