"""How many public modules the probe gets through without set-up, and whether its own inputs change the answer."""
