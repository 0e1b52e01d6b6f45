"""What the engine has understood of a place, in words: for a hover, and for whoever doubts a finding."""
