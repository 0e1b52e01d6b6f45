"""GS2: what the optimizer can't see."""
