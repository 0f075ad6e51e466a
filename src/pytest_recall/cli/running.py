"""`run` and `discover`: the project's tests, as an agent would run and list them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_recall.cli import door

EXIT_CODES = {  # pytest's own, where it has one
    "passed": 0,
    "failed": 1,
    "timed_out": 1,
    "crashed": 1,
    "interrupted": 2,
    "cancelled": 2,
    "collection_failed": 2,
    "internal_error": 3,
    "usage_error": 4,
    "no_tests": 5,
}


def add(commands: door.Commands) -> None:
    run = commands.add("run", "run tests; pytest's own options and paths pass through", _run, passes_on=True)
    run.add_argument("-k", dest="keyword", default="", metavar="EXPRESSION", help="pytest's -k")
    run.add_argument("-m", dest="markers", default="", metavar="EXPRESSION", help="pytest's -m")
    run.add_argument("-n", dest="parallel", type=int, default=0, metavar="N", help="xdist workers")
    run.add_argument(
        "--only",
        choices=["all", "failed", "new", "affected"],
        default="all",
        help="all, last failed, never run, or failed and affected by what was changed",
    )
    run.add_argument("--timeout", type=float, default=None, metavar="SECONDS", help="limit of the run")
    run.add_argument("--test-timeout", type=float, default=0, metavar="SECONDS", help="limit of one test")
    run.add_argument("--repeat", type=int, default=1, metavar="N", help="run the selection N times")
    run.add_argument("--confirm", type=int, default=0, metavar="N", help="rerun what failed N times")
    run.add_argument(
        "--coverage", action="store_true", help="measure it with the project's own pytest-cov or coverage"
    )
    run.add_argument("--intent", default="", metavar="TEXT", help="what was changed; kept with the run")
    run.add_argument("--full", action="store_true", help="longer texts, locals, the slowest tests")

    discover = commands.add("discover", "list tests without running them", _discover)
    discover.add_argument("paths", nargs="*", help="paths or node ids")
    discover.add_argument("-k", dest="keyword", default="", metavar="EXPRESSION")
    discover.add_argument("-m", dest="markers", default="", metavar="EXPRESSION")
    discover.add_argument("--group", choices=["file", "class", "test"], default="file")
    discover.add_argument("--limit", type=int, default=200)
    discover.add_argument("--cursor", default="")
    discover.add_argument("--full", action="store_true")


async def _run(options: argparse.Namespace) -> int:
    from pytest_recall.answers import run as ran
    from pytest_recall.app import Origin
    from pytest_recall.cli import watching
    from pytest_recall.model import RunRequest

    async with door.app(options, allow_any_args=True) as app:
        tests, args = split(options.rest, door.project(options))
        settings = (await app.workspaces.get("")).settings
        request = RunRequest(
            tests=tests,
            keyword=options.keyword,
            markers=options.markers,
            only=options.only,
            timeout_s=options.timeout or settings.timeout_s,
            test_timeout_s=options.test_timeout,
            parallel=options.parallel,
            repeat=options.repeat,
            detail=options.full,
            coverage=options.coverage,
            args=args,
            intent=options.intent,
        )
        job, _ = await app.start("", request, Origin(space="local", source="cli"), confirm=options.confirm)
        shown = sys.stderr.isatty() and not options.json
        with watching.live() if shown else watching.silent() as tell:
            await app.jobs.wait(job, float("inf"), owner=True, tell=tell)
        answer = ran.answer(job.outcome(), full=options.full)
        door.show(options, answer)  # before Chroma has it, which may take seconds
        if left := await app.hand_on(""):
            print(f"pytest-recall: {left}", file=sys.stderr)
    return EXIT_CODES.get(answer.status, 1)


async def _discover(options: argparse.Namespace) -> int:
    from pytest_recall.answers import discovery
    from pytest_recall.model import RunRequest

    async with door.app(options) as app:
        request = RunRequest(tests=tuple(options.paths), keyword=options.keyword, markers=options.markers)
        found = await app.discover("", request, full=options.full)
        answer = discovery.answer(
            found, group=options.group, limit=options.limit, cursor=options.cursor, full=options.full
        )
    door.show(options, answer)
    if answer.errors or answer.error:
        return EXIT_CODES["collection_failed"]
    return EXIT_CODES["passed" if answer.total else "no_tests"]


def split(words: Sequence[str], root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Pytest's words as (paths and node ids, options with their values): what exists is a path."""
    tests: list[str] = []
    args: list[str] = []
    for word in words:
        is_test = not word.startswith("-") and (root / word.partition("::")[0]).exists()
        (tests if is_test else args).append(word)
    return tuple(tests), tuple(args)
