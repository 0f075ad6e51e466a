"""Lines of work: which attempts are the past of a run, and which somebody else's, in another work tree or on another branch.

Two agents in two work trees, or two branches in one, take turns without undoing one another's work: what is red
on one line is not mended by a green run on another. CI is a tree of its own; where nobody told, a line is unknown,
and one with every other but those of CI.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from pytest_recall.history.fingerprint import digest
from pytest_recall.model import Revision, Run, Sample, Space

_CI = "ci"
_DIRTY = "+"
_DIGITS = 8


class Placed(Protocol):
    """A sample, or the row of a run."""

    @property
    def line(self) -> str: ...
    @property
    def space(self) -> Space: ...


class _Line(NamedTuple):
    tree: str
    branch: str  # of a detached HEAD its commit; "" outside git
    commit: str
    clean: bool


def of(run: Run) -> str:
    """The line of *run*, short, and without names; "" where it is unknown."""
    ci, revision = run.space == _CI, run.revision
    branch = (run.ci.branch if ci and run.ci else "") or revision.branch
    if not branch and (ci or run.source.startswith("import:")):
        return ""
    branch = branch or (f"@{revision.commit}" if revision.commit else "")
    tree = _CI if ci else _short(run.rootdir or run.target.root)
    return "/".join((tree, _short(branch), _short(revision.commit))) + (_DIRTY if revision.dirty else "")


def now(folders: Iterable[str], head: Revision, *, ci: bool, branch: str = "") -> tuple[str, ...]:
    """How the lines begin of what would be run at *head*, with one of *folders* for its root, or by CI; *branch*, if that told."""
    branch = branch or head.branch
    if ci and not branch:
        return ("",)
    branch = branch or (f"@{head.commit}" if head.commit else "")
    trees = [_CI] if ci else [_short(folder) for folder in folders]
    return tuple(f"{tree}/{_short(branch)}/" for tree in trees)


def tree(root: str) -> str:
    """How lines name the work tree in that folder."""
    return _short(root)


def of_another(one: Placed, tree: str) -> bool:
    """Whether *one* is known to be of another work tree than that; CI has none."""
    line = _read(one.line)
    return bool(line.tree) and line.tree not in {tree, _CI} and not _in_ci(one)


def own(samples: Sequence[Sample], here: Sample) -> list[Sample]:
    """Those of *samples* (oldest first) that are the past of *here*: of its line.

    A line goes on from what there was before its first run: all of its work tree, and what others ran committed.
    """
    mine, ci = _read(here.line), _in_ci(here)
    found, begun = [], not mine.tree
    for sample in samples:
        line = _read(sample.line)
        begun = begun or line[:2] == mine[:2]
        if (line == mine or _inside(line, mine, begun=begun)) and (sample.space == _CI) is ci:
            found.append(sample)
    return found


def _inside(line: _Line, mine: _Line, *, begun: bool) -> bool:
    if not line.tree or not mine.tree or line[:2] == mine[:2]:
        return True
    return not begun and (line.tree == mine.tree or line.clean)


def same(one: Placed, other: Placed) -> bool:
    """Whether they are of one work tree and branch, so far as is known."""
    a, b = _read(one.line), _read(other.line)
    return _in_ci(one) is _in_ci(other) and (not a.tree or not b.tree or a[:2] == b[:2])


def goes_on(red: Placed, green: Placed) -> bool:
    """Whether the sources of *green* were made from those of *red*: on its line, or on a branch begun at its commit."""
    a, b = _read(red.line), _read(green.line)
    return same(red, green) or (a.tree == b.tree and a.commit == b.commit and bool(a.commit))


def begun_at(start: Sample, here: Placed, known: Iterable[Sample]) -> bool:
    """Whether the line of *here* goes on from *start*: it is its own, or begins at its commit, later than it; by the samples *known*."""
    if same(start, here):
        return True
    before = any(sample.line and sample.at < start.at and same(sample, here) for sample in known)
    return goes_on(start, here) and not before


def committed(one: Placed) -> bool:
    """Whether it is known to have had no edits."""
    line = _read(one.line)
    return bool(line.commit) and line.clean


def may_go_on(red: Placed, green: Placed) -> bool:
    """The same, where git says that the commit of *green* has that of *red* in it: not if others had edits of theirs."""
    a, b = _read(red.line), _read(green.line)
    return _in_ci(red) is _in_ci(green) and (a.tree == b.tree or a.clean)


def elsewhere(one: Placed, other: Placed) -> bool:
    """Whether *one* is of another work tree, with edits that never were here."""
    a, b = _read(one.line), _read(other.line)
    return bool(a.tree and b.tree) and a.tree != b.tree and not a.clean


def latest(back: Iterable[Sample], here: Sample) -> Sample | None:
    """The first of *back* (the latest first) that is of the line of *here*; where it has none yet, the first of all."""
    return latest_of(back, (here.line[: here.line.rfind("/") + 1],), ci=_in_ci(here))


def latest_of(back: Iterable[Sample], begins: tuple[str, ...], *, ci: bool) -> Sample | None:
    """The same of a line that *begins* in one of these ways, or where it has none yet."""
    first = None
    for sample in back:  # hot: thousands of tests, each of 200 samples
        first = first or sample
        if sample.line.startswith(begins) and _in_ci(sample) is ci:
            return sample
    return first


def begun(samples: Sequence[Sample]) -> list[Sample]:
    """The last sample of each line."""
    return list({(_in_ci(sample), *_read(sample.line)[:2]): sample for sample in samples}.values())


@lru_cache(maxsize=4_096)
def _read(line: str) -> _Line:
    parts = line.removesuffix(_DIRTY).split("/")
    tree, branch, commit = parts if len(parts) == 3 else ("", "", "")  # noqa: PLR2004 - as `of` writes it
    return _Line(tree, branch, commit, clean=not line.endswith(_DIRTY))


def _in_ci(one: Placed) -> bool:
    return one.space == _CI


def _short(text: str) -> str:
    return digest(text).rpartition(":")[2][:_DIGITS] if text else ""
