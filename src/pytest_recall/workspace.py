"""One project that we work in: its folder, its settings, its interpreter and its store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import platformdirs

from pytest_recall.config import Settings
from pytest_recall.errors import RootNotAllowed, UnknownProject, quoted
from pytest_recall.model import Target
from pytest_recall.running import revision, target
from pytest_recall.store.client import Store
from pytest_recall.store.journal import Journal

STORE_FOLDER = ".pytest-recall"


class Workspace:
    """A project folder with everything that a use case needs of it. Entering starts nothing slow."""

    def __init__(
        self, root: Path, settings: Settings, environ: Mapping[str, str], store: Store, folder: Path
    ) -> None:
        self.root = root
        self.settings = settings
        self.environ = environ
        self.store = store
        self.folder = folder  # of the store: journal, Chroma, pytest's cache

    @property
    def spool(self) -> Path:
        """Where run folders live while runs go on: outside every project, one for each store."""
        name = hashlib.blake2b(str(self.folder).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        return platformdirs.user_state_path("pytest-recall") / "spool" / name

    @property
    def cache_dir(self) -> Path:
        return self.folder / "pytest_cache"

    def target(self) -> Target:
        """The interpreter that runs this project's tests, looked up anew: environments come and go."""
        settings = self.settings
        return target.resolve(
            self.root,
            explicit=settings.python,
            explicit_source=settings.origins.get("python", ""),
            environ=self.environ,
        )


class Workspaces:
    """The projects of one process, each opened once; worktrees of one repository share a store."""

    def __init__(self, flags: Mapping[str, Any], environ: Mapping[str, str], default: Path) -> None:
        self._flags = flags
        self._environ = environ
        self._default = default
        self._open: dict[Path, Workspace] = {}
        self._stores: dict[Path, Store] = {}
        self._closing = AsyncExitStack()
        own = Settings.load(default, flags=flags, environ=environ)
        self._roots = [Path(root).resolve() for root in own.allow_root] or [self._default.resolve()]
        self.runs_at_once = own.runs_at_once

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._closing.aclose()

    def folder(self, project: str) -> Path:
        """The project folder that *project* names.

        Raises:
            UnknownProject: no such folder.
            RootNotAllowed: it lies outside the allowed roots.
        """
        path = (self._default / project) if project else self._default
        try:
            root = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise UnknownProject(
                f"No project at {quoted(str(path))}. Pass the folder that holds its tests."
            ) from None
        if not root.is_dir():
            raise UnknownProject(
                f"{quoted(str(path))} is a file. Pass the folder that holds the project's tests."
            )
        if not any(root.is_relative_to(allowed) for allowed in self._roots):
            allowed = ", ".join(map(str, self._roots))
            raise RootNotAllowed(
                f"{quoted(str(root))} lies outside the allowed roots ({allowed}). "
                "Start the server with --allow-root for that folder, or pass a project inside one."
            )
        return root

    async def get(self, project: str) -> Workspace:
        """The workspace of *project* ("": the default one), opened at its first use."""
        root = self.folder(project)
        if root not in self._open:
            self._open[root] = await self._enter(root)
        return self._open[root]

    async def _enter(self, root: Path) -> Workspace:
        settings = Settings.load(root, flags=self._flags, environ=self._environ)
        folder = (
            Path(settings.store_folder) if settings.store_folder else revision.main_root(root) / STORE_FOLDER
        )
        folder = (root / folder).absolute()
        if folder not in self._stores:
            store = Store(Journal(folder), backend(settings, folder))
            self._stores[folder] = await self._closing.enter_async_context(store)
        return Workspace(root, settings, self._environ, self._stores[folder], folder)
