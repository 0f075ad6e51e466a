"""`ingest`: take in at once what the plugin captured; any other command does it too."""

from __future__ import annotations

import argparse

from pytest_recall.cli import door


def add(commands: door.Commands) -> None:
    commands.add("ingest", "keep the runs that `pytest --recall` left in the inbox", _ingest)


async def _ingest(options: argparse.Namespace) -> int:
    from pytest_recall.answers import ingesting

    async with door.app(options) as app:
        answer = await ingesting.ingest(app, "")
    door.show(options, answer)
    return 3 if answer.error else 0
