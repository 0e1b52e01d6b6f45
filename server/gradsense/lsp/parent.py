"""The client's process: when it is gone, so is the server.

A client that is killed sends no `exit`, and its end of the pipe may live on in another process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

SECONDS_BETWEEN_LOOKS = 1.0


async def wait_for_end(process_id: int, at_end: Callable[[], None]) -> None:
    """Call `at_end` once the process has ended."""
    while is_running(process_id):
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
    at_end()


if sys.platform == "win32":
    import ctypes

    _SYNCHRONIZE = 0x00100000
    _WAIT_TIMEOUT = 0x00000102

    def is_running(process_id: int) -> bool:
        """Whether there is such a process. (`os.kill` would end it here.)"""
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(_SYNCHRONIZE, False, process_id)
        if not handle:
            return False
        running = kernel.WaitForSingleObject(handle, 0) == _WAIT_TIMEOUT
        kernel.CloseHandle(handle)
        return bool(running)

else:

    def is_running(process_id: int) -> bool:
        """Whether there is such a process."""
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # It is there, and belongs to somebody else.
        return True
