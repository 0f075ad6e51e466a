"""`note`: what a person found out, kept for whoever meets the failure next."""

from __future__ import annotations

import argparse
from typing import get_args

from pytest_recall.cli import door
from pytest_recall.model import NoteKind


def add(commands: door.Commands) -> None:
    note = commands.add("note", "keep what you found out about a test, a cause of failure or a run", _note)
    note.add_argument(
        "about", metavar="ABOUT", help="a test id, fingerprint, run id, or an earlier note's id"
    )
    note.add_argument(
        "text", nargs="?", default="", metavar="TEXT", help="one sentence; secrets are taken out"
    )
    note.add_argument("--kind", choices=get_args(NoteKind), default="diagnosis")
    note.add_argument(
        "--worked", action=argparse.BooleanOptionalAction, default=None, help="whether it helped, where known"
    )


async def _note(options: argparse.Namespace) -> int:
    from pytest_recall import learning
    from pytest_recall.answers import learnt, naming

    about = options.about.strip()
    async with door.app(options) as app:
        kept = await learning.note(
            await app.workspaces.get(""),
            about=await naming.run_id(app, "", about) if naming.is_beginning(about) else about,
            kind=options.kind,
            text=options.text,
            worked=options.worked,
            author="cli",
        )
    door.show(options, learnt.noted(kept))
    return 0
