"""Rules and operators against real frameworks: that a stopped agent stops, and what it leaves."""
