"""What the sources were at each run, so that two runs can be compared later: git trees in a store of our own.

Uncommitted work is gone from the work tree with the next edit. A snapshot writes it as git objects
into our folder, beside an index of ours; the user's repository is read and never written. (git itself
renews the times of loose objects there that a snapshot has in common, as any of its commands does.)
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from pytest_recall.history.patch import read_diff
from pytest_recall.model import Revision

_SECONDS = 5.0
_MOST_OF_ONE = 2**20  # bytes of an untracked file that is taken in; larger ones are data
_MOST_UNTRACKED = 2_000
_MOST_DIFF = 400_000  # characters
_OBJECT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Snapshots:
    """The snapshots of one store, kept under *folder*."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"

    def take(self, root: Path, revision: Revision) -> str:
        """The name of a git tree with the sources in *root*: of the commit where nothing is changed.

        Empty outside git, and where git refuses or takes more than about 5 seconds.
        """
        if not revision.commit or not revision.dirty:
            return revision.commit
        try:
            self._objects.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(prefix="pytest-recall-index-") as aside:
                return self._written(root, Path(aside) / "index")
        except (OSError, ValueError, subprocess.SubprocessError):
            return ""

    def diff(self, root: Path, before: str, after: str, *, relative: bool = False) -> str:
        """The unified diff from one snapshot to another; empty where one is no longer there.

        At most 400,000 characters: what is longer is cut. *relative*: only of *root*, with paths seen from there.
        """
        if not _OBJECT.fullmatch(before) or not _OBJECT.fullmatch(after):
            return ""
        options = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--unified=3")
        try:
            text = self._git(root, "diff", *options, *(["--relative"] if relative else []), before, after)
        except (OSError, subprocess.SubprocessError):
            return ""
        return text[:_MOST_DIFF].decode("utf-8", "replace")

    def paths(self, root: Path, before: str, after: str) -> list[str]:
        """The files, from the repository's top, that two snapshots have otherwise; none where one is no longer there."""
        if not _OBJECT.fullmatch(before) or not _OBJECT.fullmatch(after):
            return []
        try:
            told = self._git(
                root, "diff", "--name-only", "--no-ext-diff", "--no-renames", "-z", before, after
            )
        except (OSError, subprocess.SubprocessError):
            return []
        return [path for path in os.fsdecode(told).split("\0") if path]

    def changed(self, root: Path, before: str, after: str) -> dict[str, list[int]]:
        """The lines under *root* that *after* has and *before* had not, by path from there."""
        if not before or before == after:
            return {}
        files = read_diff(self.diff(root, before, after, relative=True))
        return {one.path: one.lines for one in files if one.lines}

    def read(self, root: Path, tree: str, path: str) -> str:
        """The file *path*, from *root*, as it was in a snapshot; empty where that is no longer there."""
        if not _OBJECT.fullmatch(tree):
            return ""
        try:
            return self._git(root, "show", f"{tree}:./{path}").decode("utf-8", "replace")
        except (OSError, ValueError, subprocess.SubprocessError):
            return ""

    def has(self, root: Path, tree: str, path: str) -> bool:
        """Whether there was a file *path*, from *root*, in a snapshot."""
        try:
            return bool(self._git(root, "ls-tree", "--name-only", tree, "--", path))
        except (OSError, ValueError, subprocess.SubprocessError):
            return False

    def prune(self, age_s: float) -> None:
        """Forget the objects that no run has written for so long."""
        oldest = time.time() - age_s
        for path in self._objects.glob("??/*"):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _written(self, root: Path, index: Path) -> str:
        top = Path(os.fsdecode(self._git(root, "rev-parse", "--show-toplevel").rstrip(b"\n")))
        own = self._git(top, "rev-parse", "--path-format=absolute", "--git-path", "index")
        with suppress(FileNotFoundError):  # a repository without a first commit may have none
            # With what git knows of unchanged files, and its time: what was written in that second is looked at.
            shutil.copy2(os.fsdecode(own.rstrip(b"\n")), index)
        self._git(top, "add", "--update", "--", ".", index=index)
        listed = self._git(top, "ls-files", "--others", "--exclude-standard", "-z", index=index)
        small = [path for path in listed.split(b"\0") if path and _small(top, path)]
        if small:
            paths = b"\0".join(small[:_MOST_UNTRACKED])
            self._git(top, "update-index", "--add", "-z", "--stdin", index=index, given=paths)
        return self._git(top, "write-tree", index=index).decode("ascii").strip()

    def _git(self, root: Path, *args: str, index: Path | None = None, given: bytes = b"") -> bytes:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environ |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        if self._objects.is_dir():
            environ |= self._places(root, environ)
        if index is not None:
            environ["GIT_INDEX_FILE"] = str(index)
        return _output(root, args, environ, given)

    def _places(self, root: Path, environ: dict[str, str]) -> dict[str, str]:
        """New objects go to our folder; the repository's own are read where they are."""
        words = ("rev-parse", "--path-format=absolute", "--git-path", "objects")
        theirs = os.fsdecode(_output(root, words, environ).rstrip(b"\n"))
        quoted = '"' + theirs.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return {"GIT_OBJECT_DIRECTORY": str(self._objects), "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted}


def _output(root: Path, args: tuple[str, ...], environ: dict[str, str], given: bytes = b"") -> bytes:
    quiet = (
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=",
        "-c",
        "core.safecrlf=false",
        "-c",
        "gc.auto=0",
    )
    return subprocess.run(
        ["git", *quiet, "-C", str(root), *args],
        env=environ,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=True,
    ).stdout


def _small(top: Path, path: bytes) -> bool:
    if b".pytest-recall/" in path or path.endswith(b".pyc"):
        return False
    try:
        state = (top / os.fsdecode(path)).lstat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size <= _MOST_OF_ONE
