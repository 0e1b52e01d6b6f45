"""`make mutants`: how many faults of the catalogue are found when they are put into healthy public training code."""
