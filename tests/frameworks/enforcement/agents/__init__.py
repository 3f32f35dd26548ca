"""One module per framework, imported by the framework's own interpreter.

    MODES: Mapping[str, bool]      # sync, stream, async, astream: whether it is asynchronous
    def instrument(provider: TracerProvider) -> None
    def build(mode: str, model_url: str, tools: list[Callable[[str], str]]) -> Callable[[str], Any]

What `build` returns takes the question and gives the answer, or an awaitable of it.  `tools` have a
name, a docstring and one argument `query: str`; they are coroutine functions in modes that are
asynchronous, unless the module says `SYNC_TOOLS = True`.  Limits of the framework's own on steps
must be above `scenarios.ROUNDS_MAX`.
"""
