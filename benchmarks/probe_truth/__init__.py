"""How many public modules the probe gets through without any set-up, and whether what it makes up changes the answer."""
