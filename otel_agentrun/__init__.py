"""OpenTelemetry for AI agent runs: conventions and pure logic shared with the collector."""
