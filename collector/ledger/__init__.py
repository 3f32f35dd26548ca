"""The decision ledger: one hash chain per collector of what was decided, by whom and why."""
