"""`make storm`: whether anything makes it fall over: texts, edits, fixes, and what else the parts in `parts.py` do."""
