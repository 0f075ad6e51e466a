"""`doctor`: what was found, what is wrong, and how to mend it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pytest_recall.cli import door, installing

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_recall.answers.doctor import Checked


def add(commands: door.Commands) -> None:
    doctor = commands.add("doctor", "say what was found, what is wrong, and how to mend it", _doctor)
    doctor.add_argument(
        "--no-start", action="store_true", help="do not start the server as each client would"
    )


async def _doctor(options: argparse.Namespace) -> int:
    from pytest_recall.answers import doctor

    async with door.app(options) as app:
        clients = await _clients(door.project(options).resolve(), start=not options.no_start)
        answer = await doctor.examine(app, "", clients)
    door.show(options, answer)
    return 1 if answer.problems else 0


async def _clients(root: Path, *, start: bool) -> list[Checked]:
    """Every entry of ours in a client's file; its server is started as that client would, if *start*.

    The project's own files may name any command: no more is trusted than by collecting its tests, which doctor does.
    """
    from pytest_recall.install import places

    here = installing.machine()
    found = list(places.configured(here, root))
    entries = [one for one in found if isinstance(one, places.Configured)]
    checked: list[Checked] = [(one, None) for one in found if isinstance(one, places.Unreadable)]
    if not start or not entries:
        return checked + [(one, None) for one in entries]
    from pytest_recall.install import trial

    return checked + list(zip(entries, await trial.start_all(entries, here, root), strict=True))
