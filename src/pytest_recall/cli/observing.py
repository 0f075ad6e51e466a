"""`metrics` and `inventory`: how the project stands, for Prometheus, and every known failure, for a person."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_recall.cli import door
from pytest_recall.errors import BadRequest

if TYPE_CHECKING:
    from pytest_recall.workspace import Workspace

PORT = 9464  # of Prometheus exporters' own range, and in nobody's list
_SCRAPE_S = 60.0


def add(commands: door.Commands) -> None:
    metrics = commands.add("metrics", "tell Prometheus how the project stands", _metrics)
    metrics.add_argument(
        "-o",
        "--output",
        type=door.output,
        default="",
        metavar="FILE",
        help="a .prom file for node_exporter; '-', the default, is stdout",
    )
    metrics.add_argument(
        "--serve", type=int, nargs="?", const=PORT, metavar="PORT", help=f"on loopback; default: {PORT}"
    )
    metrics.add_argument("--push", default="", metavar="URL", help="to a Pushgateway")

    inventory = commands.add("inventory", "every distinct failure: state, age, count, notes", _inventory)
    inventory.add_argument("--format", default="markdown", choices=["markdown", "json"])
    inventory.add_argument(
        "-o", "--output", type=door.output, default="", metavar="FILE", help="'-', the default, is stdout"
    )
    inventory.add_argument("--limit", type=int, default=500, help="how many failures, those in need first")


async def _metrics(options: argparse.Namespace) -> int:
    from anyio.to_thread import run_sync

    from pytest_recall import observing
    from pytest_recall.answers import observed
    from pytest_recall.exports import placing, prometheus

    if options.serve is not None and (options.output or options.push):
        raise BadRequest("--serve answers whoever asks; leave -o and --push out, or --serve.")
    if options.output:
        placing.writable(Path(options.output))  # before anything is counted
    async with door.app(options) as app:
        space = await app.workspaces.get("")
        if options.serve is not None:
            await _serve(space, options.serve)
            return 0
        told = await observing.standing(space)
        if options.output:
            await run_sync(observing.write, told, Path(options.output))
        if options.push:
            await run_sync(prometheus.push, told, options.push)
        warnings = await app.troubles("")
    if options.output or options.push or options.json:
        door.show(
            options, observed.measured(told, file=options.output, pushed=options.push, warnings=warnings)
        )
    else:
        with door.printing():
            sys.stdout.write(prometheus.text(told).decode("utf-8"))
    return 0


async def _serve(space: Workspace, port: int) -> None:
    from prometheus_client import start_http_server

    from pytest_recall import observing
    from pytest_recall.exports import prometheus
    from pytest_recall.history.tally import Standing

    loop = asyncio.get_running_loop()

    def stand() -> Standing:
        return asyncio.run_coroutine_threadsafe(observing.standing(space), loop).result(_SCRAPE_S)

    try:
        server, thread = start_http_server(port, "127.0.0.1", prometheus.registry(stand))
    except (OSError, OverflowError) as error:
        raise BadRequest(f"Port {port} cannot be served: {error}. Name another one: --serve PORT.") from error
    try:
        print(f"http://127.0.0.1:{server.server_port}/metrics (Ctrl-C ends it)", file=sys.stderr, flush=True)
        await asyncio.Event().wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def _inventory(options: argparse.Namespace) -> int:
    from pytest_recall import observing
    from pytest_recall.answers import observed
    from pytest_recall.exports import placing

    if options.limit < 0:
        raise BadRequest("--limit: a number of failures, from 0.")
    if options.output:
        placing.writable(Path(options.output))
    async with door.app(options) as app:
        space = await app.workspaces.get("")
        known = await observing.inventory(space)
        warnings = await app.troubles("")
    answer = observed.inventoried(
        known, root=str(space.root), now=time.time(), limit=options.limit, warnings=warnings
    )
    as_json = options.format == "json"
    text = answer.model_dump_json(exclude_defaults=True) if as_json else observed.markdown(answer)
    if options.output:
        with placing.placed(Path(options.output)) as out:
            out.write(text.encode("utf-8", "backslashreplace"))
        answer = answer.model_copy(update={"file": options.output})
    if options.json or options.output:
        door.show(options, answer)
    else:
        with door.printing():
            print(text.rstrip("\n"))
    return 0
