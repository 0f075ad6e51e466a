"""`history`: what past runs say."""

from __future__ import annotations

import argparse

from pytest_recall.cli import door

SUBJECTS = {"run": "run_id", "test": "test", "similar": "text", "failures": "fingerprint"}


def add(commands: door.Commands) -> None:
    history = commands.add("history", "what past runs say", _history)
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


async def _history(options: argparse.Namespace) -> int:
    from pytest_recall.answers import history

    subject = SUBJECTS.get(options.view)
    query = history.Query(
        view=options.view,
        since=options.since,
        space=options.space,
        limit=options.limit,
        cursor=options.cursor,
        full=options.full,
        **({subject: options.subject} if subject else {}),
    )
    async with door.app(options) as app:
        answer = await history.ask(app, "", query)
    door.show(options, answer)
    return 0
