"""Runs in servers and workers: ASGI, WSGI, Celery.  docs/propagation.md shows them.

Each module imports what it integrates, and is imported by whoever has that.
"""
