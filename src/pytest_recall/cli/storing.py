"""`store`: look after what is kept: its state, its index, its size."""

from __future__ import annotations

import argparse

from pytest_recall.cli import door

ACTS = {
    "status": "what is kept, where, and whether the index is well",
    "verify": "look at every file of the journal and every record of the index",
    "rebuild": "make the index anew from the journal",
    "reindex": "make all vectors anew, by the setting 'embedding'",
    "reconcile": "find out which tests are gone, and which have another name now",
    "export": "write all that is kept to FILE, a tar",
    "import": "take in what such a FILE has, and this store has not",
    "prune": "let go of runs beyond keep_runs, keep_days and keep_mb",
}


def add(commands: door.Commands) -> None:
    store = commands.add("store", "look after what is kept", _store)
    store.add_argument(
        "task", choices=list(ACTS), help="; ".join(f"{name}: {text}" for name, text in ACTS.items())
    )
    store.add_argument("file", nargs="?", default="", metavar="FILE", help="for export and import")


async def _store(options: argparse.Namespace) -> int:
    from pytest_recall.answers import storing

    async with door.app(options) as app:
        answer = await storing.look_after(app, "", options.task, options.file)
    door.show(options, answer)
    return 0 if answer.healthy else 3
