"""A project's Python files as its tests depend on them: read once, and later only where they changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_recall.history.reach import Source, reach_digest, source
from pytest_recall.model import Run

_SECONDS = 2.0  # for all files together, beside the start of a run
_DIGESTING_S = 0.3
_MOST = 5_000  # files
_LARGEST = 1_000_000  # bytes of one
_SETTLED_NS = 2_000_000_000  # a file that was written since may be written again without its time telling
_NO_SOURCES = frozenset({"node_modules", "site-packages", "build", "dist", "venv", "__pycache__"})


class Sources:
    """The sources of one project folder. Safe from any thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._read: dict[str, tuple[tuple[int, int, int], Source]] = {}

    def now(self) -> dict[str, Source]:
        """Every Python file there is, by its path with `/`; nothing where they are too many to be read in time.

        Half of them would make a test look changed that is not.
        """
        until = time.monotonic() + _SECONDS
        with self._lock:
            found: dict[str, tuple[tuple[int, int, int], Source]] = {}
            for path in _python_files(self._root):
                if len(found) >= _MOST or time.monotonic() > until:
                    return {}
                one = self._one(path)
                if one is not None:
                    found[path] = one
            self._read = found
            return {path: read for path, (_, read) in found.items()}

    def _one(self, path: str) -> tuple[tuple[int, int, int], Source] | None:
        place = os.path.join(self._root, path)  # noqa: PTH118 - thousands of them
        try:
            state = os.stat(place)  # noqa: PTH116
            stamp = (state.st_size, state.st_mtime_ns, state.st_ino)
            known = self._read.get(path)
            if known is not None and known[0] == stamp and time.time_ns() - state.st_mtime_ns > _SETTLED_NS:
                return known
            with open(place, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                return stamp, source(path, file.read(_LARGEST))
        except OSError:
            return None


def reaches(sources: Mapping[str, Source], run: Run) -> tuple[tuple[str, str], ...]:
    """Each test file of *run* with the digest of all that it reaches, as far as that is known, and in time."""
    until = time.monotonic() + _DIGESTING_S
    found = []
    for path in sorted({test.partition("::")[0] for test in run.tests.ids}):
        if time.monotonic() > until:
            break
        if reached := reach_digest(_inside(path, run), sources):
            found.append((path, reached))
    return tuple(found)


def _inside(path: str, run: Run) -> str:
    """*path*, relative to pytest's rootdir, from the project's folder, where the sources are read."""
    if run.rootdir == run.target.root:
        return path
    return os.path.relpath(os.path.join(run.rootdir, path), run.target.root).replace(os.sep, "/")  # noqa: PTH118


def _python_files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NO_SOURCES)
        inside = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        yield from (prefix + name for name in names if name.endswith(".py"))
