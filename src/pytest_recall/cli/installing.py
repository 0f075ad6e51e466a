"""`install`: make the server known to a client, or unknown again."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_recall.cli import door
from pytest_recall.errors import BadRequest

if TYPE_CHECKING:
    from pytest_recall.install.clients import Client, Machine, Scope

CLIENTS = "claude-code, claude-desktop, cursor, vscode, windsurf, zed, codex, gemini or generic"


def add(commands: door.Commands) -> None:
    install = commands.add("install", "make the server known to a client, or unknown again", _install)
    install.add_argument("client", help=CLIENTS)
    install.add_argument(
        "--scope",
        choices=["user", "project"],
        help="the user's file or the project's; default: the one from which the server knows its project",
    )
    install.add_argument(
        "--for", dest="project", metavar="FOLDER", help="in the user's file: the project to name"
    )
    install.add_argument("--file", default="", help="another file than the client's usual one")
    install.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
    install.add_argument("--uninstall", action="store_true", help="take the entry out again")


def machine() -> Machine:
    """The machine we run on."""
    from pytest_recall.install import places

    return places.machine(platform=sys.platform, home=Path.home(), environ=os.environ)


async def _install(options: argparse.Namespace) -> int:
    from pytest_recall.install import clients, files, merge, places

    client = clients.find(options.client)
    scope: Scope = options.scope or client.scope
    if client.user is None and not options.file:
        return _print_entry(client, options)
    entry, warnings = _entry(client, scope, options)
    spot = places.spot(client, scope, machine(), door.folder(options), file=options.file)
    make = partial(merge.drop, spot) if options.uninstall else partial(merge.put, spot, entry)
    change = make() if options.dry_run else merge.carry_out(make)
    done = "removed" if options.uninstall else "written"
    answer = {
        "client": client.name,
        "scope": scope,
        "file": str(spot.path),
        "status": "unchanged" if not change.needed else f"not {done}: a dry run" if options.dry_run else done,
        "diff": change.diff() if options.dry_run else "",
        "entry": {} if options.uninstall else entry,
        "kept": str(files.backup_of(spot.path)) if change.copy == "make" and not options.dry_run else "",
        "warnings": [] if options.uninstall else warnings,
        "next_step": "" if options.uninstall or not change.needed else client.then,
    }
    with door.printing():
        if options.json:
            print(json.dumps({key: value for key, value in answer.items() if value}))
        else:
            _say(client, answer)
    return 0


def _entry(client: Client, scope: Scope, options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Our entry, and the doubts about it."""
    from pytest_recall.install import launch

    ours = launch.ours(
        executable=sys.executable,
        scripts=Path(sysconfig.get_path("scripts")),
        found=shutil.which("pytest-recall"),
        windows=sys.platform == "win32",
    )
    named = str(door.folder(options)) if options.project and scope == "user" else ""
    python = os.path.abspath(options.python) if options.python else ""  # noqa: PTH100 - a venv's is a link, keep it
    settings = (("--python", python), ("--store", options.store))
    words = tuple(word for setting in settings if setting[1] for word in setting)
    entry = launch.entry(client, scope, ours, project=named, options=words)
    doubts = launch.doubts(client, scope, ours, project=named, temporary=tempfile.gettempdir())
    return entry, doubts


def _print_entry(client: Client, options: argparse.Namespace) -> int:
    """For a client that we know no file of: its entry, to be put there by hand."""
    from pytest_recall.install.clients import NAME

    if options.uninstall or options.scope == "project":
        raise BadRequest("Where this client keeps its servers is not known. Name its file with --file.")
    entry, warnings = _entry(client, "user", options)
    with door.printing():
        print(json.dumps({client.keys[0]: {NAME: entry}}, indent=2, ensure_ascii=False))
    for text in [*warnings, client.then]:
        print(f"pytest-recall: {text}", file=sys.stderr)
    return 0


def _say(client: Client, answer: dict[str, Any]) -> None:
    if answer["diff"]:
        print(answer["diff"])
    print(f"{client.title}, {answer['scope']} scope: {answer['status']} ({answer['file']})")
    if answer["kept"]:
        print(f"As it was before: {answer['kept']}")
    for text in answer["warnings"]:
        print(f"! {text}")
    if answer["next_step"]:
        print(f"Next: {answer['next_step']}")
