"""GS4: the order of the training loop."""
