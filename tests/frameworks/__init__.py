"""Agents of real frameworks, in a virtual environment of their own."""
