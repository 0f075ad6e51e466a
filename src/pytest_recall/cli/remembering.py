"""`history` and its short forms: what past runs say."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, get_args

from pytest_recall.cli import door
from pytest_recall.errors import BadRequest, quoted

if TYPE_CHECKING:
    from pytest_recall.answers.history import Query

SUBJECTS = {
    "run": "run_id",
    "test": "test",
    "flaky": "test",
    "similar": "text",
    "failures": "fingerprint",
    "fixes": "test",
    "compare": "run_id",
}
SHORT = {
    "stats": ("summary", "how the project stands: runs, failing and flaky tests, causes"),
    "flaky": ("flaky", "tests with both outcomes on unchanged code, the likeliest to fail first"),
    "slow": ("slow", "tests that got slower, then the slowest"),
    "compare": ("compare", "two runs side by side: run ids, revisions, or spaces such as local and ci"),
    "similar": ("similar", "known failures like a pasted error text"),
}


def add(commands: door.Commands) -> None:
    history = commands.add("history", "what past runs say", _history)
    history.add_argument(
        "view",
        nargs="?",
        default="summary",
        help="summary, runs, run, test, failures, flaky, slow, similar, compare, spaces, fixes",
    )
    history.add_argument(
        "subject", nargs="?", default="", help="the run id, test id, fingerprint or error text"
    )
    history.add_argument("--base", default="", metavar="RUN", help="for compare: what to compare with")
    history.add_argument(
        "--verify",
        type=int,
        default=0,
        metavar="N",
        help="for flaky: rerun the suspects; for fixes: undo them aside and run N times",
    )
    _narrowing(history)
    _paging(history)
    for name, (view, text) in SHORT.items():
        short = commands.add(name, text, _history)
        short.set_defaults(view=view, subject="", since="", space="", cursor="")
        if view == "compare":
            short.add_argument(
                "subject", nargs="?", default="", metavar="AFTER", help="default: the last run"
            )
            short.add_argument(
                "base", nargs="?", default="", metavar="BEFORE", help="default: the last comparable run"
            )
        elif view == "similar":
            short.add_argument("subject", metavar="TEXT", help="the error text; '-' reads standard input")
        elif view == "flaky":
            short.add_argument("subject", nargs="?", default="", metavar="TEST", help="just this one")
            short.add_argument(
                "--threshold", type=float, default=0.0, metavar="RATE", help="least rate of failures"
            )
            short.add_argument(
                "--verify", type=int, default=0, metavar="N", help="rerun the suspects N times first"
            )
            _narrowing(short, "--window")
        elif view == "slow":
            _narrowing(short)
        _paging(short)


def _narrowing(parser: argparse.ArgumentParser, *since: str) -> None:
    parser.add_argument("--since", *since, default="", metavar="TIME", help="'12h', '7d' or a date")
    parser.add_argument("--space", default="", choices=["", "local", "ci", "agent"])
    parser.add_argument("--cursor", default="", help="next_cursor of the last answer")


def _paging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--full", action="store_true")


async def _history(options: argparse.Namespace) -> int:
    import sys

    from pytest_recall.answers import history

    asked = (
        sys.stdin.read(100_000) if options.view == "similar" and options.subject == "-" else options.subject
    )
    async with door.app(options) as app:
        answer = await history.ask(app, "", _query(options, asked))
    door.show(options, answer)
    return 0


def _query(options: argparse.Namespace, asked: str) -> Query:
    from pytest_recall.answers import history
    from pytest_recall.answers.views import View

    subject = SUBJECTS.get(options.view, "")
    if asked and not subject and options.view in get_args(View):
        raise BadRequest(f"history {options.view} takes nothing more: {quoted(asked)}.")
    about: dict[str, Any] = {_field(subject, asked): asked} if subject else {}
    return history.Query(
        view=options.view,
        base_run_id=getattr(options, "base", ""),
        threshold=getattr(options, "threshold", 0.0),
        verify=getattr(options, "verify", 0),
        since=options.since,
        space=options.space,
        limit=options.limit,
        cursor=options.cursor,
        full=options.full,
        **about,
    )


def _field(subject: str, asked: str) -> str:
    """Fixes are asked for by test, or by the cause that they mended."""
    return "fingerprint" if asked.startswith("fp1:") else subject
