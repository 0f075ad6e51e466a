"""Where things named elsewhere lie here: dotted names to node ids, another machine's paths to this project's."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

_MOST_FILES = 50_000
_MOST_PARTS = 64  # of a dotted name
_ID_MOST = 8_000  # characters; as the probe cuts them
_NO_SOURCES = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "build", "dist"})
_MODULE = re.compile(r"test_\w+|\w+_tests?")


class Places:
    """The files of the project in *root*, looked for once and only when a report asks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, str] = {}

    def node_id(self, classname: str, name: str, file: str = "") -> tuple[str, bool]:
        """Pytest's node id of a JUnit test case, and whether it is sure: its file is here.

        pytest writes `tests/test_a.py::TestB::test_c` as `tests.test_a.TestB` and `test_c`. *file* is xunit1's
        attribute: where the function stands, which for an inherited test is another file than that of its id.
        """
        parts = classname.split(".", _MOST_PARTS) if classname else []
        path = file.replace("\\", "/").removeprefix("./")
        own = _dotted(path).split(".") if path else []
        if own and parts[: len(own)] == own:
            return _joined(path, parts[len(own) :], name), True
        if len(parts) > _MOST_PARTS:
            return short(f"{classname}::{name}"), False
        for skipped in range(len(parts)):  # `--junitprefix` puts words before it
            if parts[skipped] not in self._tops:
                continue
            for taken in range(len(parts), skipped, -1):
                here = self._files.get(".".join(parts[skipped:taken]))
                if here:
                    return _joined(here, parts[taken:], name), True
        return _guessed(parts, name), False

    def module(self, dotted: str, file: str = "") -> str:
        """The path of a module named as JUnit does."""
        path = file.replace("\\", "/")
        if path and _dotted(path) == dotted:
            return path
        return self._files.get(dotted) or f"{dotted.replace('.', '/')}.py"

    def relative(self, path: str, root: str = "") -> str:
        """*path* relative to the project, where it lies inside: in *root*, there where it was written, or here."""
        known = self._known.get(path)
        if known is None:
            if len(self._known) > _MOST_FILES:
                self._known.clear()
            known = self._known[path] = self._relative(path, root)
        return known

    def _relative(self, path: str, root: str) -> str:
        plain = path.replace("\\", "/")
        for folder in (root.replace("\\", "/").rstrip("/"), str(self.root)):
            if len(folder) > 1 and plain.startswith(f"{folder}/"):
                return plain[len(folder) + 1 :]
        if not (plain.startswith("/") or plain[1:2] == ":") or "-packages/" in plain:
            return path
        steps = plain.strip("/").split("/")
        ends = ("/".join(steps[at:]) for at in range(1, len(steps)))
        return next((end for end in ends if end in self._paths), path)

    @cached_property
    def _files(self) -> dict[str, str]:
        """Dotted name → path, of every file but those of environments and caches."""
        found: dict[str, str] = {}
        for folder, folders, names in os.walk(self.root):
            inside = Path(folder)
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".")
                and name not in _NO_SOURCES
                and not (inside / name / "pyvenv.cfg").exists()
            )
            base = inside.relative_to(self.root).as_posix()
            for name in names:
                path = name if base == "." else f"{base}/{name}"
                found.setdefault(_dotted(path), path)
            if len(found) > _MOST_FILES:
                break
        return found

    @cached_property
    def _tops(self) -> frozenset[str]:
        return frozenset(dotted.partition(".")[0] for dotted in self._files)

    @cached_property
    def _paths(self) -> frozenset[str]:
        return frozenset(self._files.values())


def short(node_id: str, most: int = _ID_MOST) -> str:
    """*node_id*, or where it is too long its head with a digest of the whole: as the probe does it."""
    if len(node_id) <= most:
        return node_id
    digest = hashlib.blake2b(node_id.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"{node_id[: most - 14]}…#{digest}"


def _dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def _joined(path: str, classes: Sequence[str], name: str) -> str:
    return short("::".join([path, *classes, name]))


def _guessed(parts: Sequence[str], name: str) -> str:
    """Where no such file is here: modules named like tests, or else all but classes, make the path."""
    at = max((n for n, part in enumerate(parts) if _MODULE.fullmatch(part)), default=-1) + 1
    if not at:
        at = next((n for n, part in enumerate(parts) if part[:1].isupper()), len(parts))
    if not at:
        return short("::".join([*parts, name]))
    return _joined(f"{'/'.join(parts[:at])}.py", parts[at:], name)
