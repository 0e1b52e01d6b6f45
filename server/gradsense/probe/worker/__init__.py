"""The probe's child process, under the user's interpreter: standard library and torch only, Python 3.9 or
newer.

It is loaded by path under a private name (see `child.py`), so its modules import each other relatively and
nothing of GradSense. One line of JSON comes in (`orders`), lines of JSON go out (`channel`), stage by stage
(`main`).
"""
