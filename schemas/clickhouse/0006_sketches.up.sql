-- The words of a call's arguments as 16-bit hashes, by which loop rules see that a call is another
-- one in other words (otel_agentrun/sketch.py).  At most 170 bytes; "" where no text was recorded.

-- add column: agent_steps ArgumentsSketch String CODEC(ZSTD(1)) AFTER ArgumentsDigest
