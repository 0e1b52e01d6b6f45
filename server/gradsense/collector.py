"""The garbage collector, set for a process that analyses: it makes hundreds of thousands of objects, and keeps them."""

from __future__ import annotations

import gc
import linecache


def relax_collector() -> None:
    """Leave alone what has been imported, and look for garbage less often.

    With CPython's own threshold (700 objects) collections took half of the time of a cold analysis of 1,800 lines:
    the memos keep what was allocated, so there is hardly anything to find.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def tidy_up() -> None:
    """Free what was left behind while the collector was off: attrs makes each of the protocol's hundreds of classes
    twice, and keeps the source of their methods. Takes a tenth of a second: for when nobody waits.
    """
    linecache.clearcache()
    gc.unfreeze()
    gc.collect()
    gc.freeze()
