"""How fast the probe is, and what it costs the user."""
