"""`install-hook` and `commits`: fixes get the commit that holds them, by themselves or when asked."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_recall.cli import door
from pytest_recall.errors import RecallError

if TYPE_CHECKING:
    from pytest_recall.answers.committing import CommitsAnswer

_WAIT_S = 30.0  # for the hook of the commit before


def add(commands: door.Commands) -> None:
    install = commands.add("install-hook", "let each commit be noted with the fixes it holds", _install)
    install.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
    install.add_argument("--uninstall", action="store_true", help="take the block out of the hook again")

    commits = commands.add("commits", "note with each recent fix the commit that holds it", _commits)
    # As the hook calls it, with the slot that it took.
    commits.add_argument("--hook", nargs="?", const="", metavar="SLOT", help=argparse.SUPPRESS)


async def _install(options: argparse.Namespace) -> int:
    from pytest_recall.answers.committing import HookAnswer
    from pytest_recall.install import files, hook, merge

    found = hook.find(door.folder(options))
    make = partial(hook.drop if options.uninstall else hook.put, found)
    change = make() if options.dry_run else merge.carry_out(make)
    if not options.dry_run:
        hook.disable(found) if options.uninstall else hook.enable(found, sys.executable)
    done = "removed" if options.uninstall else "written"
    kept = change.copy == "make" and not options.dry_run
    remarks = hook.stays(found, change.after) if options.uninstall else found.remarks
    answer = HookAnswer(
        status="unchanged" if not change.needed else f"not {done}: a dry run" if options.dry_run else done,
        hook=str(change.path),
        project=found.project,
        diff=change.diff() if options.dry_run else "",
        kept=str(files.backup_of(change.path)) if kept else "",
        remarks=list(remarks),
    )
    door.show(options, answer)
    return 0


async def _commits(options: argparse.Namespace) -> int:
    if options.hook is not None:
        await _behind_the_commit(options)
        return 0
    door.show(options, await _attached(options))
    return 0


async def _attached(options: argparse.Namespace) -> CommitsAnswer:
    from pytest_recall import committing
    from pytest_recall.answers.committing import attached

    async with door.app(options) as app:
        found = await committing.attach(await app.workspaces.get(""))
        return attached(found, warnings=await app.troubles(""))


async def _behind_the_commit(options: argparse.Namespace) -> None:
    """For every project that the hook is for; nobody is there to read what goes wrong.

    A rebase makes many commits at once: one process looks at them, one waits in the slot, and sees those of all others.
    """
    import platformdirs
    from filelock import FileLock, Timeout

    from pytest_recall.install import hook

    top = Path.cwd()
    place = platformdirs.user_state_path("pytest-recall") / "commits"
    name = blake2b(os.fsencode(top), digest_size=8).hexdigest()
    working, waiting = (FileLock(place / f"{name}.{part}") for part in ("working", "waiting"))
    with suppress(OSError, Timeout):
        if sys.platform != "win32":
            os.nice(10)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        waiting.acquire(timeout=0)
        try:
            working.acquire(timeout=_WAIT_S)
        finally:
            waiting.release()
            if options.hook:
                _free(Path(options.hook))
        with working:
            for project in hook.projects(top):
                options.project = str(top / project)
                with suppress(RecallError):
                    await _attached(options)


def _free(slot: Path) -> None:
    """Let the next commit have the hook's slot: from here on, what it holds may go unseen by us."""
    with suppress(OSError):  # it may have been given to another one, if we took long to come here
        slot.rmdir()
