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
            if exists(place) and (base == self._root or place.is_relative_to(self._root)):
                return [place]
        if ".." in Path(name).parts or Path(name).is_absolute():
            return []
        return [base / name for base in self._below if exists(base / name)]

    def alike(self, name: str) -> list[str]:
        """Paths of the project that *name* may have been meant for: a file's name without its folder, or a dotted module."""
        plain = name if "/" in name or name.endswith(".py") else name.replace(".", "/") + ".py"
        ending = f"/{plain.lstrip('./')}"
        return [
            path
            for here, files in _walk(self._root)
            for file in files
            if file == ending.rpartition("/")[2]
            and f"/{(path := (here / file).relative_to(self._root).as_posix())}".endswith(ending)
        ]

    @cached_property
    def _below(self) -> list[Path]:
        return list(_rootdirs(self._root))


def _rootdirs(root: Path) -> Iterator[Path]:
    """The folders below *root* that hold a configuration of pytest's, the nearest ones."""
    yield from (here for here, files in _walk(root) if here != root and not _CONFIGURATION.isdisjoint(files))


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """The project's folders, the nearest levels of them, and the files in each; no environment's, no hidden one's."""
    for number, (place, folders, files) in enumerate(os.walk(root)):
        if number >= _MOST_FOLDERS:
            return
        here = Path(place)
        yield here, files
        deep = len(here.relative_to(root).parts) >= _DEPTH
        folders[:] = sorted(
            name
            for name in ([] if deep else folders)
            if not name.startswith(".")
            and name not in _PASSED_OVER
            and not (here / name / "pyvenv.cfg").is_file()
        )


def exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # a name longer than the file system's limit
        return False
