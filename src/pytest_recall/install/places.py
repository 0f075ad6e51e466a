"""The clients on this disk: the file that an entry goes to, and every entry of ours that is there already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_recall.errors import RecallError
from pytest_recall.install import files, merge
from pytest_recall.install.clients import CLIENTS, NAME, Client, Machine, Scope, check_scope
from pytest_recall.install.launch import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """An entry of ours in a client's file."""

    client: Client
    scope: Scope
    path: Path
    launch: Launch

    @property
    def knows_project(self) -> bool:
        """Whether the server works where the client's user does, or where the entry says."""
        launch = self.launch
        named = "--project" in launch.args or launch.cwd or "PYTEST_RECALL_PROJECT" in launch.env
        return bool(named) or self.scope == "project" or self.client.follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A client's file that could not be read, and why."""

    client: Client
    scope: Scope
    path: Path
    why: str


def machine(*, platform: str, home: Path, environ: Mapping[str, str]) -> Machine:
    """The machine we run on, as far as the places of the clients depend on it."""
    packages: tuple[str, ...] = ()
    if platform == "win32":
        with suppress(OSError):
            local = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
            packages = tuple(sorted(path.name for path in (local / "Packages").glob("Claude_*")))
    return Machine(platform=platform, home=home, environ=environ, packages=packages)


def spot(client: Client, scope: Scope, on: Machine, root: Path, *, file: str = "") -> merge.Spot:
    """Where our entry goes: the client's own file, or *file*; links are followed inside the home or the project.

    Raises:
        BadRequest: the client keeps no servers in that scope.
        BadConfiguration: the file is a link that leads elsewhere.
    """
    home = Path(on.home)
    if file:
        path = Path(file).expanduser().absolute()
        within: tuple[Path, ...] = (home, path.parent)
    else:
        check_scope(client, scope)
        path = _path(client, scope, on, root)
        outside = scope == "user" and not path.is_relative_to(home)  # a variable of the environment says so
        within = (root,) if scope == "project" else (home, path.parent) if outside else (home,)
    return merge.Spot(path=files.real(path, within), form=client.form, keys=(*client.keys, NAME))


def configured(on: Machine, root: Path) -> Iterator[Configured | Unreadable]:
    """Every entry of ours that a client would find while it has *root* open."""
    for client in CLIENTS.values():
        for scope in client.scopes:
            path = _path(client, scope, on, root)
            try:
                values = merge.load(merge.Spot(path=path, form=client.form, keys=client.keys))
            except RecallError as error:
                yield Unreadable(client=client, scope=scope, path=path, why=str(error))
                continue
            for keys in (client.keys, ("projects", str(root), *client.keys)):  # Claude Code's local scope
                for launch in _launches(merge.find(values, keys)):
                    yield Configured(client=client, scope=scope, path=path, launch=launch)


def _path(client: Client, scope: Scope, on: Machine, root: Path) -> Path:
    return Path(client.user(on)) if client.user and scope == "user" else root / client.project


def _launches(servers: Any) -> Iterator[Launch]:
    if not isinstance(servers, dict):
        return
    for name, entry in servers.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
            continue
        args = entry.get("args")
        env = entry.get("env")
        launch = Launch(
            command=entry["command"],
            args=tuple(map(str, args)) if isinstance(args, list) else (),
            env={str(key): str(value) for key, value in env.items()} if isinstance(env, dict) else {},
            cwd=str(entry.get("cwd") or ""),
        )
        words = json.dumps([launch.command, *launch.args]).replace("_", "-")
        if name == NAME or NAME in words:
            yield launch
