"""The mutators, by family of rules."""
