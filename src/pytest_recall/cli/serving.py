"""`serve`: the MCP server on this process's stdin and stdout."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from functools import partial

from pytest_recall.cli import door


def add(commands: door.Commands) -> None:
    serve = commands.add("serve", "serve agents over MCP on stdin and stdout")
    serve.add_argument(
        "--allow-root", action="append", metavar="FOLDER", help="projects may lie here (repeatable)"
    )
    serve.add_argument(
        "--allow-any-args", action="store_true", default=None, help="accept every pytest option"
    )


def serve(options: argparse.Namespace) -> int:
    """Serve until the client leaves or a signal comes."""
    gc.disable()  # a quarter of the start-up would go to collecting what imports make and never drop
    import anyio

    from pytest_recall import server
    from pytest_recall.app import App

    gc.enable()
    gc.freeze()
    make_app = partial(App, flags=door.flags(options), environ=os.environ, default=door.project(options))
    anyio.run(server.serve, server.build(make_app))
    sys.stdout.flush()
    os._exit(0)  # all is closed; only the SDK's reader thread may still sit in read(0)
