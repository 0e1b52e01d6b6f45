"""GS1: the contract of Lightning's hooks and the closure."""
