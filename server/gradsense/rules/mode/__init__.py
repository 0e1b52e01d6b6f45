"""GS7: training mode and evaluation mode."""
