"""How well the default rules tell loops from runs that only look busy.

    python -m tests.bench.detection            # the report
    pytest tests/bench/detection               # the bounds

Trajectories are real conversations of an agent with tools, from a file of the tau-bench project
(`historical_trajectories`, airline, gpt-4o): `AGENTRUN_TAU_BENCH` names it, or it lies in `data/`
beside the checkout.  Without it only the captures are looked at.
"""
