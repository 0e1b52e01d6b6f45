"""GS9: suppressions and configuration."""
