"""Which sources ran: a digest of commit, tracked changes and untracked files, without touching git's index.

Equal digests mean equal sources, so whatever could not be read in time gets a digest that equals
no other. What test runs leave behind (`__pycache__`, caches, `.pytest-recall/`) is not a source.
"""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Protocol

from pytest_recall.model import Revision

_SECONDS = 5.0
_MOST_FILES = 50_000
_MOST_BYTES = 256 * 2**20  # read in all; beyond it size and modification time stand for the content
_MOST_OF_ONE = 16 * 2**20
_DEPTH = 3  # of submodules within submodules
_LEFT_BEHIND = frozenset(
    {
        ".git",
        ".hg",
        ".pytest-recall",
        "__pycache__",
        ".pytest_cache",
        ".hypothesis",
        ".mypy_cache",
        ".ruff_cache",
    }
    | {".tox", ".nox", ".venv", "node_modules", ".benchmarks", ".ipynb_checkpoints", ".eggs"}
)
_CONFIGURATION = frozenset({"pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg", "pytest.toml"})

# Outside git nobody says what is no source. What a test reads counts, what it writes must not.
_MOST_DATA = 500  # files; of more, none counts
_WRITTEN_TO = frozenset(
    {"build", "dist", "htmlcov", "log", "logs", "out", "output", "reports", "test-results", "tmp"}
)
_WRITTEN = (
    *(".log", ".tmp", ".bak", ".swp", "~", ".pid", ".lock", ".prof", ".o", ".so", ".pyd", ".whl"),
    *(".db", ".sqlite", ".sqlite3", "-journal", "-wal", "-shm"),
)
_REPORTS = ("coverage", "junit", "pytest", "report", "results", "test-")
_FORMATS = (".xml", ".json", ".jsonl", ".html", ".lcov", ".txt")


class TooLongError(Exception):
    """The time or the number of files ran out."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


def revision(root: Path) -> Revision:
    """The revision of the sources in *root*; never raises, and takes at most about 5 seconds."""
    until = time.monotonic() + _SECONDS
    try:
        return _of_git(root, until, _DEPTH) or _of_files(root, until)
    except (TooLongError, OSError):
        return Revision(digest=f"unknown-{secrets.token_hex(8)}")


def head(root: Path) -> Revision:
    """Commit and branch alone, without a look at the sources; neither where git does not tell."""
    words = ("status", "--porcelain=v2", "-z", "--branch", "--untracked-files=no", "--ignore-submodules=all")
    try:
        status = _read(git(root, time.monotonic() + _SECONDS, *words) or b"")
    except TooLongError:
        return Revision(digest="")
    return Revision(digest="", commit=status.commit, branch=status.branch)


def main_root(root: Path) -> Path:
    """The root of the main work tree of *root*'s repository, shared by its worktrees; else *root*."""
    for folder in (root, *root.parents):
        dot_git = folder / ".git"
        if dot_git.is_dir():
            return folder
        if dot_git.is_file():
            return _main_of(folder, dot_git)
    return root


def _main_of(folder: Path, dot_git: Path) -> Path:
    """The main work tree of the worktree in *folder*; *folder* for a submodule or a bare repository's."""
    try:
        line = dot_git.read_text(encoding="utf-8", errors="surrogateescape").strip()
        private = folder / line.removeprefix("gitdir:").strip()
        common = (private / (private / "commondir").read_text(encoding="utf-8").strip()).resolve()
    except (OSError, ValueError):
        return folder
    return common.parent if common.name == ".git" and common.is_dir() else folder


# --- within git -----------------------------------------------------------------------------


class _Entry(NamedTuple):
    path: str
    how: str  # git's own words for the change: stages, modes, object names
    submodule: bool


class _Status(NamedTuple):
    commit: str
    branch: str
    entries: tuple[_Entry, ...]


def _of_git(root: Path, until: float, depth: int) -> Revision | None:
    output = git(
        root, until, "status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--no-renames"
    )
    top = output is not None and git(root, until, "rev-parse", "--show-toplevel")
    if output is None or not top:
        return None
    status = _read(output)
    folder = Path(os.fsdecode(top.rstrip(b"\n")))
    digest = blake2b(status.commit.encode(), digest_size=12)
    reader = _Reader(digest, until)
    dirty = False
    for entry in sorted(status.entries):
        if _left_behind(folder, entry.path):
            continue
        dirty = True
        digest.update(f"\0{entry.how}\0".encode())
        if entry.submodule and depth:
            inner = _of_git(folder / entry.path, until, depth - 1)
            digest.update((inner.digest if inner else "gone").encode())
        reader.add(folder, entry.path)
    return Revision(digest=digest.hexdigest(), commit=status.commit, branch=status.branch, dirty=dirty)


def git(root: Path, until: float, *args: str) -> bytes | None:
    """What git prints, or None where it is missing, refuses, or *root* is in no repository."""
    # A git hook's variables would lead to another index; a file-system monitor would stay behind as a daemon.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotepath=false", "-C", str(root), *args]
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=max(until - time.monotonic(), 0.1),
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise TooLongError from None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout


def _read(output: bytes) -> _Status:
    commit = branch = ""
    entries = []
    for line in os.fsdecode(output).split("\0"):
        kind, _, rest = line.partition(" ")
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ").replace("(initial)", "")
        elif line.startswith("# branch.head "):
            branch = line.removeprefix("# branch.head ").replace("(detached)", "")
        elif kind == "?":
            entries.append(_Entry(rest, "?", submodule=False))
        elif kind in {"1", "u"}:
            # "1 XY sub mH mI mW hH hI path", "u XY sub m1 m2 m3 mW h1 h2 h3 path"
            *words, path = rest.split(" ", 7 if kind == "1" else 9)
            entries.append(_Entry(path, " ".join(words), submodule=words[1].startswith("S")))
    return _Status(commit, branch, tuple(entries))


# --- outside git ----------------------------------------------------------------------------


def _of_files(root: Path, until: float) -> Revision:
    digest = blake2b(digest_size=12)
    reader = _Reader(digest, until)
    data: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _left_behind(Path(folder), f"{name}/"))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), root)  # noqa: PTH118 - hot
            if name.endswith((".py", ".pyi")) or name in _CONFIGURATION:
                reader.add(root, path)
            elif len(data) <= _MOST_DATA and _data(path.replace(os.sep, "/")):
                data.append(path)
    for path in data if len(data) <= _MOST_DATA else ():
        reader.add(root, path)
    return Revision(digest=digest.hexdigest())


def _data(path: str) -> bool:
    """Whether a test may read *path*, and is unlikely to have written it."""
    *folders, name = path.split("/")
    if any(one.startswith(".") or one in _WRITTEN_TO or one.endswith(".egg-info") for one in folders):
        return False
    if _left_behind(Path(), name) or name.lower().endswith(_WRITTEN):
        return False
    if name.startswith("."):
        return name.startswith(".env")
    return bool(folders) or not (name.startswith(_REPORTS) and name.endswith(_FORMATS))


# --- files ----------------------------------------------------------------------------------


def _left_behind(root: Path, path: str) -> bool:
    """Whether a test run, a cache or an environment put *path* there."""
    *folders, name = path.split("/")
    if name.endswith((".pyc", ".pyo")) or name == ".coverage" or name.startswith(".coverage."):
        return True
    if not _LEFT_BEHIND.isdisjoint(folders):
        return True
    return any(
        (root.joinpath(*folders[:number]) / "pyvenv.cfg").exists() for number in range(1, len(folders) + 1)
    )


class _Reader:
    """Adds files to a digest: names, types and contents, within the limits of time and size."""

    def __init__(self, digest: _Hash, until: float) -> None:
        self._digest = digest
        self._until = until
        self._files = 0
        self._bytes = 0

    def add(self, root: Path, path: str) -> None:
        self._files += 1
        if self._files > _MOST_FILES or time.monotonic() > self._until:
            raise TooLongError
        self._digest.update(os.fsencode(path) + b"\0")
        for part in self._content(os.path.join(root, path)):  # noqa: PTH118 - thousands of them
            self._digest.update(part)

    def _content(self, path: str) -> Iterator[bytes]:
        try:
            state = os.lstat(path)
        except OSError:
            yield b"gone"
            return
        yield b"%o " % (state.st_mode & ~0o066)  # the type and who may execute; not what umask made
        if stat.S_ISLNK(state.st_mode):
            yield os.fsencode(Path(path).readlink())
        elif stat.S_ISREG(state.st_mode):  # a pipe or a socket would block, and has no content
            yield from self._regular(path, state)

    def _regular(self, path: str, state: os.stat_result) -> Iterator[bytes]:
        yield b"%d " % state.st_size
        if state.st_size > _MOST_OF_ONE or self._bytes + state.st_size > _MOST_BYTES:
            yield b"%d" % state.st_mtime_ns
            return
        self._bytes += state.st_size
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - thousands of them
                yield file.read(_MOST_OF_ONE)
        except OSError:
            yield b"unreadable"
