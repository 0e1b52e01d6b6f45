"""The server as a program, on standard input and output."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any, cast


def main(arguments: Sequence[str] = ()) -> int:
    """Run a server; the exit code.

    Standard input and output are all there is, so `--stdio` and whatever else clients pass say nothing new.
    """
    # A sixth of the start would go into looking for garbage among the protocol's classes: there is none.
    gc.disable()
    import asyncio
    import logging

    from gradsense.lsp.language_server import Server
    from gradsense.lsp.stdio import MessageReader, MessageWriter, take_standard_streams

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    source, sink = take_standard_streams()
    writer = MessageWriter(sink)

    async def run() -> int:
        server = Server()
        server.protocol.set_writer(cast(Any, writer))
        loop = asyncio.get_running_loop()
        reader = MessageReader(source, loop, server.protocol.receive, lambda: server.end(1), writer.room)
        return await server.serve(reader)

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        return 130
    finally:
        writer.close()
