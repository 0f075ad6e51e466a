"""`doctor`: what was found, what is wrong, and how to mend it."""

from __future__ import annotations

import argparse

from pytest_recall.cli import door


def add(commands: door.Commands) -> None:
    commands.add("doctor", "say what was found, what is wrong, and how to mend it", _doctor)


async def _doctor(options: argparse.Namespace) -> int:
    from pytest_recall.answers import doctor

    async with door.app(options) as app:
        answer = await doctor.examine(app, "")
    door.show(options, answer)
    return 1 if answer.problems else 0
