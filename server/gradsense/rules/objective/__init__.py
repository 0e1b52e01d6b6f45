"""GS6: the loss means something else."""
