"""How this server is started from anywhere: an absolute command, and whether it will still be there tomorrow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_recall.install.clients import Client, Scope

# Environments of `uvx` and `pipx run`, which are swept away: uv's cache buckets, pipx's cache
_VANISHING = re.compile(r"[/\\](?:(?:archive|builds|environments)-v\d+|pipx[/\\]\.cache)[/\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A program as a client starts it."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of starting a server: its tools, or (none) the trouble in words."""

    tools: tuple[str, ...] = ()
    seconds: float = 0.0
    trouble: str = ""


def ours(*, executable: str, scripts: Path, found: str | None, windows: bool) -> Launch:
    """The command of the installation that is running.

    Its console script in *scripts*, by the name that PATH *found* it under if that is the same file (a link that
    outlives an upgrade); without a script, the interpreter (never resolved: a venv's is a link) with `-m`.
    """
    script = scripts / ("pytest-recall.exe" if windows else "pytest-recall")
    if not script.is_file():
        return Launch(command=str(Path(executable).absolute()), args=("-m", "pytest_recall"))
    if found and Path(found).is_absolute() and Path(found).samefile(script):
        return Launch(command=found)
    return Launch(command=str(script.absolute()))


def entry(
    client: Client, scope: Scope, launch: Launch, *, project: str, options: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What stands under our name in *client*'s file: *project* ("": not named) and *options* go to `serve`."""
    where = client.variable if scope == "project" else project
    args = [*launch.args, "serve", *(("--project", where) if where else ()), *options]
    return {**client.extra, "command": launch.command, "args": args}


def doubts(client: Client, scope: Scope, launch: Launch, *, project: str, temporary: str) -> list[str]:
    """What may go wrong with that entry later, each with its remedy."""
    found = []
    if _VANISHING.search(launch.command) or Path(launch.command).is_relative_to(temporary):
        found.append(
            f"{launch.command} lies in a temporary environment, which will be swept away. Install it to stay "
            "(`uv tool install` or `pipx install`, with the clone or the wheel) and run this again from there."
        )
    if scope == "user" and not client.follows and not project:
        instead = "use --scope project, or " if client.project else ""
        found.append(
            f"{client.title} does not tell this server which project is open: {instead}name one with --for FOLDER."
        )
    if "$" in launch.command + project:
        found.append(
            "A '$' in a path may be taken for a variable by the client. Move it to a path without one."
        )
    if scope == "project":
        found.append(
            "The file names a path of this machine: keep it out of version control, or agree on the path."
        )
    return found
