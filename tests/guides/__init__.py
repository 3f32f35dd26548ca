"""The code of docs/guides, run as it stands there."""
