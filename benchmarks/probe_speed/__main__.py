"""`make bench-probe`: a small model, a large one, and what the recorder adds to a step, in one run, as Markdown."""

import platform

from benchmarks.probe_speed import large_model, recorder, small_model

print(f"# The probe's speed\n\nPython {platform.python_version()}, {platform.processor() or platform.machine()}.")
for each in (small_model, large_model, recorder):
    print()
    print("\n".join(each.report()), flush=True)
