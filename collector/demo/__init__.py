"""The support desk of a bicycle shop: what `agentrun demo` runs, and a tutorial of the SDK.

Read it in this order: `basics` has the first runs, of a few lines each; `support` is an agent with
tools, a guardrail and a colleague; `analyst` plans and costs money; `jobs` goes on in a worker;
`__main__` is the application, with all there is to install.  `shop` and `scripted_model` stand in
for the rest of the world, `cases` is what customers ask.

`python -m collector.demo` runs it against the collector on this machine, or the one that
`OTEL_EXPORTER_OTLP_ENDPOINT` names.
"""
