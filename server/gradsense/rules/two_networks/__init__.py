"""GS8: two networks, and reinforcement learning."""
