"""The door for people: commands at a shell, tables on a terminal, `--json` for programs. Alone, with `terminal`, may print.

What is slow to import (mcp, rich, the use cases) is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pytest_recall.app import App

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the process's exit code."""
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    if rest and options.command != "run":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    if options.command == "serve":
        return _serve(options)
    import anyio

    from pytest_recall.errors import RecallError

    try:
        return anyio.run(_COMMANDS[options.command], options)
    except RecallError as error:
        _say_error(str(error), as_json=options.json)
        return error.exit_code
    except BaseExceptionGroup as group:  # from a task group: one error of ours inside is the story
        ours = group.subgroup(RecallError)
        if ours is None:
            raise
        error = next(_leaves(ours))
        _say_error(str(error), as_json=options.json)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--project", metavar="FOLDER", help="the target project; default: this folder")
    common.add_argument("--python", metavar="FILE", help="the interpreter that runs its tests")
    common.add_argument(
        "--store", metavar="WHERE", help="'embedded' or the http:// address of a Chroma server"
    )
    common.add_argument("--json", action="store_true", help="print the typed answer as JSON")

    parser = argparse.ArgumentParser(
        prog="pytest-recall", description="Runs a project's own pytest and remembers."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)

    serve = add("serve", "serve agents over MCP on stdin and stdout")
    serve.add_argument(
        "--allow-root", action="append", metavar="FOLDER", help="projects may lie here (repeatable)"
    )
    serve.add_argument(
        "--allow-any-args", action="store_true", default=None, help="accept every pytest option"
    )

    run = add("run", "run tests; pytest's own options and paths pass through")
    run.add_argument("-k", dest="keyword", default="", metavar="EXPRESSION", help="pytest's -k")
    run.add_argument("-m", dest="markers", default="", metavar="EXPRESSION", help="pytest's -m")
    run.add_argument("-n", dest="parallel", type=int, default=0, metavar="N", help="xdist workers")
    run.add_argument(
        "--only", choices=["all", "failed", "new"], default="all", help="all, last failed, never run"
    )
    run.add_argument("--timeout", type=float, default=None, metavar="SECONDS", help="limit of the run")
    run.add_argument("--test-timeout", type=float, default=0, metavar="SECONDS", help="limit of one test")
    run.add_argument("--repeat", type=int, default=1, metavar="N", help="run the selection N times")
    run.add_argument("--confirm", type=int, default=0, metavar="N", help="rerun what failed N times")
    run.add_argument("--intent", default="", metavar="TEXT", help="what was changed; kept with the run")
    run.add_argument("--full", action="store_true", help="longer texts, locals, everything slow")

    discover = add("discover", "list tests without running them")
    discover.add_argument("paths", nargs="*", help="paths or node ids")
    discover.add_argument("-k", dest="keyword", default="", metavar="EXPRESSION")
    discover.add_argument("-m", dest="markers", default="", metavar="EXPRESSION")
    discover.add_argument("--group", choices=["file", "class", "test"], default="file")
    discover.add_argument("--limit", type=int, default=200)
    discover.add_argument("--cursor", default="")
    discover.add_argument("--full", action="store_true")

    history = add("history", "what past runs say")
    history.add_argument(
        "view", nargs="?", default="summary", help="summary, runs, run, test, failures, flaky, similar"
    )
    history.add_argument(
        "subject", nargs="?", default="", help="the run id, test id, fingerprint or error text"
    )
    history.add_argument("--since", default="", help="'12h', '7d' or a date")
    history.add_argument("--space", default="", choices=["", "local", "ci", "agent"])
    history.add_argument("--limit", type=int, default=20)
    history.add_argument("--cursor", default="")
    history.add_argument("--full", action="store_true")

    add("doctor", "say what was found, what is wrong, and how to mend it")
    demo = add("demo", "hold a conversation with the real server about a sample project")
    demo.add_argument("--keep", metavar="FOLDER", help="leave the sample project there")
    return parser


# --- commands -------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    gc.disable()  # a third of the start-up goes to collecting what imports make and never drop
    import anyio

    from pytest_recall import server
    from pytest_recall.app import App

    gc.enable()
    gc.freeze()
    make_app = partial(App, flags=_flags(options), environ=os.environ, default=_project(options))
    anyio.run(server.serve, server.build(make_app))
    sys.stdout.flush()
    os._exit(0)  # all is closed; only the SDK's reader thread may still sit in read(0)


async def _run(options: argparse.Namespace) -> int:
    from pytest_recall.answers import run as ran
    from pytest_recall.app import Origin
    from pytest_recall.model import RunRequest

    async with _app(options, allow_any_args=True) as app:
        tests, args = _split(options.rest, _project(options))
        request = RunRequest(
            tests=tests,
            keyword=options.keyword,
            markers=options.markers,
            only=options.only,
            timeout_s=options.timeout or (await app.workspaces.get("")).settings.timeout_s,
            test_timeout_s=options.test_timeout,
            parallel=options.parallel,
            repeat=options.repeat,
            detail=options.full,
            args=args,
            intent=options.intent,
        )
        job, _ = await app.start("", request, Origin(space="local", source="cli"), confirm=options.confirm)
        with _live(options) as tell:
            await app.jobs.wait(job, float("inf"), owner=True, tell=tell)
        answer = ran.answer(job.outcome(), full=options.full)
    _show(options, answer)
    return EXIT_CODES.get(answer.status, 1)


async def _discover(options: argparse.Namespace) -> int:
    from pytest_recall.answers import discovery
    from pytest_recall.model import RunRequest

    async with _app(options) as app:
        request = RunRequest(tests=tuple(options.paths), keyword=options.keyword, markers=options.markers)
        found = await app.discover("", request, full=options.full)
        answer = discovery.answer(
            found, group=options.group, limit=options.limit, cursor=options.cursor, full=options.full
        )
    _show(options, answer)
    return 2 if answer.errors or answer.error else 0 if answer.total else 5


async def _history(options: argparse.Namespace) -> int:
    from pytest_recall.answers import history

    subject = {"run": "run_id", "test": "test", "similar": "text", "failures": "fingerprint"}.get(
        options.view
    )
    query = history.Query(
        view=options.view,
        since=options.since,
        space=options.space,
        limit=options.limit,
        cursor=options.cursor,
        full=options.full,
        **({subject: options.subject} if subject else {}),
    )
    async with _app(options) as app:
        answer = await history.ask(app, "", query)
    _show(options, answer)
    return 0


async def _doctor(options: argparse.Namespace) -> int:
    from pytest_recall.answers import doctor

    async with _app(options) as app:
        answer = await doctor.examine(app, "")
    _show(options, answer)
    return 1 if answer.problems else 0


async def _demo(options: argparse.Namespace) -> int:
    import json
    import tempfile
    import time
    from dataclasses import asdict

    from pytest_recall import demo, terminal

    began = time.perf_counter()
    turns = []
    with tempfile.TemporaryDirectory(prefix="pytest-recall-demo-") as aside:
        async for turn in demo.conversation(Path(options.keep or aside)):
            turns.append(turn)
            if not options.json:
                terminal.turn(turn)
    if options.json:
        print(json.dumps([asdict(turn) for turn in turns]))
    else:
        terminal.closing(turns, time.perf_counter() - began)
    return 1 if any("error" in turn.answer for turn in turns) else 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], Awaitable[int]]] = {
    "run": _run,
    "discover": _discover,
    "history": _history,
    "doctor": _doctor,
    "demo": _demo,
}


# --- what they share ------------------------------------------------------------------------


def _flags(options: argparse.Namespace, **more: Any) -> dict[str, Any]:
    names = ("python", "store", "allow_root", "allow_any_args")
    return {name: getattr(options, name, None) for name in names} | more


def _app(options: argparse.Namespace, **more: Any) -> App:
    from pytest_recall.app import App

    return App(flags=_flags(options, **more), environ=os.environ, default=_project(options))


def _project(options: argparse.Namespace) -> Path:
    """--project, else what the environment says, else the folder of Claude's project, else this one."""
    named = options.project or os.environ.get("PYTEST_RECALL_PROJECT") or os.environ.get("CLAUDE_PROJECT_DIR")
    return Path(named or ".").absolute()


def _split(words: Sequence[str], root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Pytest's words as (paths and node ids, options with their values): what exists is a path."""
    tests, args = [], []
    for word in words:
        is_test = not word.startswith("-") and (root / word.partition("::")[0]).exists()
        (tests if is_test else args).append(word)
    return tuple(tests), tuple(args)


def _live(options: argparse.Namespace) -> Any:
    from pytest_recall import terminal

    return terminal.live() if sys.stderr.isatty() and not options.json else terminal.silent()


def _show(options: argparse.Namespace, answer: BaseModel) -> None:
    if options.json:
        print(answer.model_dump_json(exclude_defaults=True))
        return
    from pytest_recall import terminal

    terminal.show(answer)


def _say_error(message: str, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"error": message}))
    else:
        print(f"pytest-recall: {message}", file=sys.stderr)


def _leaves(group: BaseExceptionGroup[Any]) -> Any:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _version() -> str:
    from pytest_recall import __version__

    return f"pytest-recall {__version__}"
