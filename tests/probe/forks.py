"""A process that has imported torch once and forks for every probe: a test then waits for the probe alone.

Run as `python forks.py WORKER_FOLDER`. Each line of JSON on standard input is one probe's orders; the
worker's lines come out, then `END` and the exit status. The probe's process itself is tested in
`test_probe_process.py`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import Any


def load_worker(folder: str) -> None:
    """The worker under the private name that the client gives it."""
    spec = importlib.util.spec_from_file_location(
        "_gradsense_probe", f"{folder}/__init__.py", submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def main() -> None:
    """Serve until standard input ends."""
    load_worker(sys.argv[1])
    worker: Any = importlib.import_module("_gradsense_probe.main")
    channel: Any = importlib.import_module("_gradsense_probe.channel")
    orders_type: Any = importlib.import_module("_gradsense_probe.orders")
    sys.path[:1] = []
    while line := sys.stdin.readline():
        orders = orders_type.Orders.from_json(json.loads(line))
        worker.import_torch(orders.text)
        child = os.fork()
        if child == 0:
            sys.argv = [orders.path]
            os.chdir(orders.working_directory)
            sys.path.insert(0, os.path.dirname(orders.path))
            worker.probe(channel.Channel("TOKEN"), orders)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"END {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
