"""What other linters say of mistakes that people have reported in public."""
