"""Serving on stdin and stdout, until the client leaves or a signal comes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import anyio
from mcp.server.mcpserver import MCPServer

from pytest_recall.app import App


async def serve(server: MCPServer[App]) -> None:
    """Serve over stdio until the client closes it or a signal comes; no run survives, and what finished is kept."""
    if sys.platform == "win32":  # no signal receiver there, and hosts end a server by closing its stdin
        await server.run_stdio_async()
    else:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_signal, tasks.cancel_scope)
            await server.run_stdio_async()
            tasks.cancel_scope.cancel()


if sys.platform != "win32":  # there is no SIGHUP there

    async def _until_signal(scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for _ in signals:
                # The SDK's reader thread sits in read(0) and can't be interrupted: leave without waiting for it.
                threading.Thread(target=_leave, args=(5.0,), daemon=True).start()
                scope.cancel()
                return


def _leave(seconds: float) -> None:
    time.sleep(seconds)
    os._exit(0)
