"""GS3: who trains what."""
