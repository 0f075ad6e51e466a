"""Where a file is that a node id names: ids are relative to pytest's rootdir, which may lie above or below the project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

_CONFIGURATION = frozenset(
    {
        "pytest.toml",
        ".pytest.toml",
        "pytest.ini",
        ".pytest.ini",
        "pyproject.toml",
        "tox.ini",
        "setup.cfg",
        "setup.py",
    }
)
_MOST_FOLDERS, _DEPTH = 2_000, 4
_PASSED_OVER = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist"})


class Roots:
    """The rootdirs that pytest may have taken for the project in *root*."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def places(self, name: str) -> list[Path]:
        """The files or folders within the project that *name* means: one, none, or several in a monorepo."""
        for base in (self._root, *self._root.parents):
            place = base / name
            if _exists(place) and (base == self._root or place.is_relative_to(self._root)):
                return [place]
        if ".." in Path(name).parts or Path(name).is_absolute():
            return []
        return [base / name for base in self._below if _exists(base / name)]

    @cached_property
    def _below(self) -> list[Path]:
        return list(_rootdirs(self._root))


def _rootdirs(root: Path) -> Iterator[Path]:
    """The folders below *root* that hold a configuration of pytest's, the nearest ones."""
    for number, (place, folders, files) in enumerate(os.walk(root)):
        if number >= _MOST_FOLDERS:
            return
        here = Path(place)
        if here != root and not _CONFIGURATION.isdisjoint(files):
            yield here
        deep = len(here.relative_to(root).parts) >= _DEPTH
        folders[:] = sorted(
            name
            for name in ([] if deep else folders)
            if not name.startswith(".")
            and name not in _PASSED_OVER
            and not (here / name / "pyvenv.cfg").is_file()
        )


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # a name longer than the file system's limit
        return False
