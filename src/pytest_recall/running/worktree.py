"""A temporary git work tree of an earlier revision, outside the project, and gone for certain afterwards.

While it is there, git's list of work trees names it, and nothing else of the user's changes: no file,
index, branch, stash or setting is written, and no hook runs. Whoever dies with one leaves a lock that
nobody holds, by which the next one finds and removes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_recall.errors import quoted
from pytest_recall.model import Revision

_SECONDS = 5.0  # of a question to git
_REMOVAL_SECONDS = 60.0
_LINES = 3  # of what git says: the last is often what to do
_MOST_GENERATED, _MOST_OF_ONE = 100, 2**20
_DEFAULTS = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master")
_BRANCHES = ("@{upstream}", *_DEFAULTS, "refs/heads/main", "refs/heads/master")


class Refused(Exception):
    """There is no base, or no work tree of it to be had; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worktree:
    """Two work trees of one repository: the user's, and a temporary one."""

    commit: str
    origin: Path  # top of the user's
    top: Path  # of the temporary one
    root: Path  # the project's folder in that


def base(root: Path, revision: Revision) -> str:
    """The commit that *revision* of *root* is to be compared with.

    The commit itself where there are changes on it; else where it left the upstream or default
    branch; else its parent.

    Raises:
        Refused: no git, one that refuses, or no earlier commit.
    """
    commit = revision.commit
    if not commit:
        raise Refused(refusal(root) or "there is no git commit to compare with")
    if revision.dirty:
        return commit
    if started := fork(root, commit):
        return started
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", f"{commit}^").strip()
    except Refused:
        raise Refused(f"{commit[:10]} has no earlier commit here to compare with") from None


def refusal(root: Path) -> str:
    """Why git tells nothing of the repository that *root* lies in, in git's own words; "" where it does, or there is none."""
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return ""
    try:
        _git(root, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    except Refused as error:
        return str(error)
    return ""


def fork(root: Path, commit: str) -> str:
    """Where the branch with *commit* left the upstream or default branch; "" where it did not, or nobody knows."""
    for branch in _BRANCHES:
        with suppress(Refused):
            found = _git(root, "merge-base", branch, commit).strip()
            if found and found != commit:
                return found
    return ""


@contextmanager
def checked_out(root: Path, commit: str, folder: Path, *, seconds: float) -> Iterator[Worktree]:
    """The project in *root* as of *commit*, in a work tree below *folder*, made within *seconds*.

    Submodules are empty in it, files under LFS are pointers, and of what git ignores only single
    Python files (a generated version, as a rule) are there.

    Raises:
        Refused: git cannot, or not in time.
    """
    tidy(root, folder)
    top = Path(_git(root, "rev-parse", "--show-toplevel").removesuffix("\n"))
    below = _git(root, "rev-parse", "--show-prefix").removesuffix("\n")
    name = secrets.token_hex(6)
    # The last part is as in the user's: a root that is itself a package is imported by that name.
    tree = Worktree(
        commit=commit, origin=top, top=folder / name / top.name, root=folder / name / top.name / below
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder / f"{name}.lock", thread_local=False)
    with lock:
        try:
            tree.top.parent.mkdir(mode=0o700)
            _git(root, "worktree", "add", "--quiet", "--detach", str(tree.top), commit, seconds=seconds)
            _add_generated(tree)
            yield tree
        except OSError as error:
            raise Refused(f"no work tree could be made: {error.strerror or error}") from error
        finally:
            _remove(root, tree.top)
            Path(lock.lock_file).unlink(missing_ok=True)


def tidy(root: Path, folder: Path) -> None:
    """Remove what processes that died have left below *folder*."""
    for path in folder.glob("*.lock"):
        lock = FileLock(path, thread_local=False)
        with suppress(Timeout, OSError), lock.acquire(blocking=False):
            for left in (folder / path.stem).glob("*"):
                _remove(root, left)
            shutil.rmtree(folder / path.stem, ignore_errors=True)
            path.unlink(missing_ok=True)


def _remove(root: Path, top: Path) -> None:
    # Never `git worktree prune`: it would also forget work trees of the user's whose disk is away just now.
    # Forced twice: a `worktree add` that was killed leaves its entry locked.
    remove = ("worktree", "remove", "--force", "--force", str(top))
    with suppress(Refused):
        _git(root, *remove, seconds=_REMOVAL_SECONDS)
    if top.parent.exists():
        if top.exists():
            _erase(top)
            with suppress(Refused):
                _git(root, *remove)
        _erase(top.parent)


def _erase(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # tests left folders there that nobody may write
        for place, _, _ in os.walk(folder):
            with suppress(OSError):
                Path(place).chmod(stat.S_IRWXU)
        shutil.rmtree(folder, ignore_errors=True)


def _add_generated(tree: Worktree) -> None:
    """Copy single Python files that git ignores, such as a `_version.py` that the build wrote."""
    words = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    with suppress(Refused):
        until = time.monotonic() + _SECONDS
        paths = [path for path in _git(tree.origin, *words).split("\0") if path.endswith(".py")]
        for path in paths[:_MOST_GENERATED]:
            source, place = tree.origin / path, tree.top / path
            with suppress(OSError):
                state = source.lstat()
                small = stat.S_ISREG(state.st_mode) and state.st_size <= _MOST_OF_ONE
                if small and place.parent.is_dir() and not place.exists() and time.monotonic() < until:
                    shutil.copy2(source, place)


def _git(root: Path, *args: str, seconds: float = _SECONDS) -> str:
    """What git prints, or Refused with what it says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }
    off = (f"core.hooksPath={os.devnull}", "core.fsmonitor=false", "core.quotepath=false", "gc.auto=0")
    settings = [word for setting in (*off, "submodule.recurse=false") for word in ("-c", setting)]
    try:
        done = subprocess.run(
            ["git", *settings, "-C", str(root), *args],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=max(seconds, 0.1),
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"git {args[0]} took longer than {seconds:.0f} s") from None
    except subprocess.CalledProcessError as error:
        said = [quoted(line.strip()) for line in os.fsdecode(error.stderr).splitlines() if line.strip()]
        words = " ".join(said[-_LINES:]) or error.returncode
        raise Refused(f"git {args[0]} refused: {words}") from None
    except (OSError, ValueError) as error:
        raise Refused(f"git could not be started: {error}") from None
    return os.fsdecode(done.stdout)
