"""`serve`: the MCP server on this process's stdin and stdout, or on loopback HTTP."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from pytest_recall.cli import door
from pytest_recall.errors import RecallError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from pytest_recall.app import App


def add(commands: door.Commands) -> None:
    serve = commands.add("serve", "serve agents over MCP on stdin and stdout")
    serve.add_argument(
        "--allow-root", action="append", metavar="FOLDER", help="projects may lie here (repeatable)"
    )
    serve.add_argument(
        "--allow-any-args", action="store_true", default=None, help="accept every pytest option"
    )
    serve.add_argument(
        "--http",
        type=int,
        nargs="?",
        const=0,
        metavar="PORT",
        help="serve streamable HTTP on 127.0.0.1 instead, for those who bring the token (setting http_token)",
    )


def serve(options: argparse.Namespace) -> int:
    """Serve until the client leaves or a signal comes."""
    gc.disable()  # a quarter of the start-up would go to collecting what imports make and never drop
    import anyio

    from pytest_recall import server
    from pytest_recall.app import App
    from pytest_recall.server import stdio

    gc.enable()
    gc.freeze()
    make_app = partial(App, flags=door.flags(options), environ=os.environ, default=door.project(options))
    if options.http is not None:
        return _serve_http(server.build(make_app), options)
    anyio.run(stdio.serve, server.build(make_app))
    sys.stdout.flush()
    os._exit(0)  # all is closed; only the SDK's reader thread may still sit in read(0)


def _serve_http(built: MCPServer[App], options: argparse.Namespace) -> int:
    import anyio

    from pytest_recall.config import Settings
    from pytest_recall.server import http

    def ready(url: str, token: str) -> None:
        if options.json:
            print(json.dumps({"url": url, "token": token}), flush=True)
        else:
            print(f"Serving MCP at {url}\nAuthorization: Bearer {token}", flush=True)

    try:
        settings = Settings.load(door.project(options), flags=door.flags(options), environ=os.environ)
        anyio.run(partial(http.serve, built, port=options.http, token=settings.http_token, ready=ready))
    except RecallError as error:
        return door.say_error(error, as_json=options.json)
    except KeyboardInterrupt:
        return 130
    return 0
