"""`logs` and `bundle`: all that is kept of one run, to read here or to hand to somebody else."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_recall.cli import door
from pytest_recall.errors import BadRequest


def add(commands: door.Commands) -> None:
    logs = commands.add("logs", "what a run printed and logged; or our own log", _logs)
    logs.add_argument(
        "run",
        nargs="?",
        default="",
        metavar="RUN",
        help="a run id, or how it begins; default: the latest run",
    )
    logs.add_argument("--events", action="store_true", help="each attempt in its order instead")
    logs.add_argument("--server", action="store_true", help="the end of pytest-recall's own log instead")

    bundle = commands.add("bundle", "one archive about a run, for a reviewer or another agent", _bundle)
    bundle.add_argument(
        "run",
        nargs="?",
        default="",
        metavar="RUN",
        help="a run id, or how it begins; default: the latest run",
    )
    bundle.add_argument(
        "-o",
        "--output",
        default="",
        metavar="FILE",
        help="default: pytest-recall-<run id>.tar.gz in this folder",
    )


async def _logs(options: argparse.Namespace) -> int:
    from pytest_recall.answers import logs

    if options.server and (options.run or options.events):
        raise BadRequest("--server shows our own log, which is of no single run: leave RUN and --events out.")
    async with door.app(options) as app:
        if options.server:
            answer = await logs.of_server(app, "")
        else:
            answer = await logs.of_run(app, "", options.run, events=options.events)
    door.show(options, answer)
    return 0


async def _bundle(options: argparse.Namespace) -> int:
    from pytest_recall.answers import bundle, naming
    from pytest_recall.exports import placing

    async with door.app(options) as app:
        run_id = await naming.run_id(app, "", options.run)
        await app.report("", run_id)  # before a file is begun
        path = Path(options.output or bundle.name(run_id))
        with placing.placed(path) as out:
            answer = await bundle.make(app, "", run_id, out, file=str(path))
    door.show(options, answer)
    return 0
