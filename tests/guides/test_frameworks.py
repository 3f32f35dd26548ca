"""The guides of frameworks: the real packages, in virtual environments of their own.

The model is a script (tests/frameworks/model.py).  Where an environment cannot be made the tests
are skipped with the reason; that of CrewAI is made on demand: `python -m tests.frameworks crewai`.
"""

from __future__ import annotations

import pytest

from tests.frameworks.environment import NotInstalledError, python
from tests.frameworks.model import INPUT_TOKENS, OUTPUT_TOKENS, ModelServer
from tests.guides.conftest import Open

PAGES = {
    "langgraph.md": "",
    "pydantic-ai.md": "",
    "openai-agents.md": "",
    "openai-client.md": "",
    "strands.md": "strands",
    "crewai.md": "crewai",
}
"""Page -> the environment that has its packages."""
CALL_USD = 0.00021


@pytest.mark.parametrize("page", PAGES)
def test_the_framework_of_the_page_is_one_run(
    page: str, open_guide: Open, model: ModelServer
) -> None:
    """S1.3, S1.27: model calls, tool and cost of whatever framework belong to the run around it."""
    try:
        interpreter = python(PAGES[page])
    except NotInstalledError as error:
        pytest.skip(str(error))
    guide = open_guide(
        page,
        python=interpreter,
        environment={
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "none",
            "CREWAI_DISABLE_TELEMETRY": "true",
            "CREWAI_TRACING_ENABLED": "false",
        },
    )
    guide.installs("install.sh")
    printed = guide.run("app.py").split()

    (listed,) = guide.runs()
    run, steps = guide.show(listed["run_id"])
    assert (run["agent_name"], run["service_name"]) == ("support", "support")
    assert (run["status"], run["outcome"]) == ("completed", "success")
    assert (run["input"], run["output"]) == ("Where is tea?", "It says: Tea is on page 7.")
    assert (run["model_calls"], run["tool_calls"], run["tools"]) == (2, 1, ["search_docs"])
    assert (run["input_tokens"], run["output_tokens"]) == (2 * INPUT_TOKENS, 2 * OUTPUT_TOKENS)
    assert run["cost_usd"] == 2 * CALL_USD
    assert run["child_run_ids"] == []
    (tool,) = [step for step in steps if step["kind"] == "tool"]
    assert "tea?" in str(tool["arguments"])
    assert "page 7" in str(tool["result"])
    if page == "openai-client.md":
        guide.run("by_hand.py")
        by_hand = guide.runs()[0]
        assert (by_hand["agent_name"], by_hand["output"]) == ("by_hand", "Hello.")
        assert (by_hand["model_calls"], by_hand["cost_usd"]) == (1, CALL_USD)
    else:
        assert printed[-1] == run["run_id"]
        assert (run["user_id"], bool(run["session_id"])) == ("u-17", True)
