"""Runs over processes, threads and requests."""
