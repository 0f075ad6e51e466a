"""The commits of a repository and what each of them changed, read from git's log."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_recall.history.patch import FileDiff, read_diff
from pytest_recall.redact import redact
from pytest_recall.running import revision

_SECONDS = 10.0
_MOST = 200  # commits looked into
_MOST_KNOWN = 20_000  # of which is known that they are there
_MOST_BYTES = 16 << 20
_MOST_PATHS = 500  # of one command line
_MOST_MESSAGE = 2_000
_OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit: its name, its message without secrets, and its change to the files that were asked for."""

    sha: str
    message: str
    diff: tuple[FileDiff, ...]


def after(root: Path, commit: str, paths: Sequence[str]) -> Iterator[Commit]:
    """The commits that HEAD has beyond *commit* and that change one of *paths*, oldest first.

    *paths* are relative to *root*, and so are those of the diffs. At most 200 of the newest; none where git
    knows no such commit.
    """
    if not _OBJECT.fullmatch(commit) or not paths:
        return
    # NUL stands in no message, and in no diff: what has it is binary to git.
    words = (
        "log",
        "--format=%x00%H%x00%B%x00",
        f"--max-count={_MOST}",
        "--no-merges",
        "--patch",
        "--relative",
    )
    diff = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--unified=0")
    named = [f":(literal){path}" for path in paths] if len(paths) <= _MOST_PATHS else ["."]
    told = _git(root, *words, *diff, f"{commit}..HEAD", "--", *named)
    fields = told.split("\0")[1:]
    for sha, message, text in reversed(list(zip(*(fields[n::3] for n in range(3)), strict=False))):
        if _OBJECT.fullmatch(sha):
            yield Commit(
                sha=sha, message=redact(message.strip()[:_MOST_MESSAGE]), diff=tuple(read_diff(text))
            )


def standing(root: Path) -> frozenset[str]:
    """The commits of every branch, the newest 20,000: one that was amended away is not among them."""
    listed = _git(root, "rev-list", f"--max-count={_MOST_KNOWN}", "--branches", "--remotes", "HEAD", "--")
    return frozenset(listed.split())


def holds(root: Path, commit: str, later: str) -> bool:
    """Whether the commit *later* has *commit* in its past; False where git does not know."""
    if not _OBJECT.fullmatch(commit) or not _OBJECT.fullmatch(later):
        return False
    until = time.monotonic() + _SECONDS
    try:
        return revision.git(root, until, "merge-base", "--is-ancestor", commit, later) is not None
    except revision.TooLongError:
        return False


def changed(root: Path, base: str) -> frozenset[str]:
    """The files that differ from the commit *base*, committed or not, new ones too; relative to *root*."""
    words = ("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--relative", base, "--")
    told = (_git(root, *words), _git(root, "ls-files", "--others", "--exclude-standard", "-z"))
    return frozenset(path for text in told for path in text.split("\0") if path and not path.endswith(".pyc"))


def _git(root: Path, *words: str) -> str:
    """What git prints; nothing where it refuses or takes too long."""
    try:
        told = revision.git(root, time.monotonic() + _SECONDS, *words)
    except revision.TooLongError:
        return ""
    return (told or b"")[:_MOST_BYTES].decode("utf-8", "replace")
