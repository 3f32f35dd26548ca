"""Rules files: read with every mistake in one report, tried on stored runs, and suggested."""
