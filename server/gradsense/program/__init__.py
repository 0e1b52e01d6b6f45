"""What the code means: what is trained, who trains it, and how the gradient travels."""
