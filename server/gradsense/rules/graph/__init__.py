"""GS5: where the gradient is lost."""
