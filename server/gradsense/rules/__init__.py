"""From facts to findings: one file per rule, in one folder per family."""
