"""The registry of names (`schemas/semconv`), and the check of telemetry against it."""
