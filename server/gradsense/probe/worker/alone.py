"""A process group for code that a launcher would start on several ranks: of this process alone."""

from __future__ import annotations

import re
from typing import Any


def started_for(error: BaseException | None) -> bool:
    """Was `error` raised for want of a process group, and is there one now?

    Nothing listens or connects: the store is in memory, and one rank has nobody to talk to.
    """
    if error is None or not re.search(r"[Pp]rocess group has not been initialized", str(error)):
        return False
    import torch

    dist: Any = torch.distributed
    if not dist.is_available() or dist.is_initialized():
        return False
    try:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    except (RuntimeError, ValueError):
        return False
    return True
