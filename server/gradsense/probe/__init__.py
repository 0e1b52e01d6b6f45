"""The probe: run one batch through the user's model, in a process of its own, and tell what will learn.

`plan` decides what to run (pure), `client` runs it in a child under the user's interpreter, `worker/` is that
child (the only code here that imports torch), `report` is what comes back and `table` its lines of text.
"""
