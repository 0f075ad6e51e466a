"""Was it this change that mended the test? Undo just that change, aside, and see whether the test fails again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import anyio
from anyio.to_thread import run_sync

from pytest_recall.errors import RecallError, quoted
from pytest_recall.history import fixes
from pytest_recall.history.patch import read_diff
from pytest_recall.model import Revision, Run, Sample, Transition
from pytest_recall.proof.bench import Bench, named, place, told
from pytest_recall.running import imported, revision, worktree
from pytest_recall.running.worktree import Refused, Worktree
from pytest_recall.workspace import Elsewhere, Workspace

PROVEN = 5  # fixes whose changes one question undoes

_CHECKOUT_S = 60.0
_FILES = 200  # that were uncommitted at the first pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A transition after its change was undone, or why that showed nothing."""

    transition: Transition
    remark: str = ""


async def prove(bench: Bench, known: Sequence[Transition], times: int) -> tuple[list[Transition], list[str]]:
    """*known*, the first of them after their changes were undone aside, and kept so; and what that could not show."""
    done = [await undo(bench, one, times) for one in known[:PROVEN]]
    after = [one.transition for one in done]
    await run_sync(
        bench.space.store.learn, [new for new, old in zip(after, known, strict=False) if new != old]
    )
    return [*after, *known[PROVEN:]], [one.remark for one in done if one.remark]


async def undo(bench: Bench, transition: Transition, times: int) -> Tried:
    """Run the test of *transition* *times* times where it first passed, in a work tree aside, and again without its change.

    Red without it, with the same cause, and green with it, proves the fix (grade A); green both times disproves it.
    """
    try:
        return await _undo(bench, transition, times)
    except (Refused, RecallError) as error:
        return Tried(
            transition=transition,
            remark=f"{quoted(transition.test)}: nothing could be proven: {str(error).rstrip('.')}.",
        )


async def _undo(bench: Bench, one: Transition, times: int) -> Tried:
    space = bench.space
    paths = fixes.undone(one)
    run = await space.store.run(one.green_run)
    if run is None or not paths or not _tree(one.red) or not _tree(one.green) or not one.green.commit:
        raise Refused("no change is kept that could be undone")
    stack = ExitStack()
    seconds = min(_CHECKOUT_S, bench.left())
    try:
        with anyio.CancelScope(shield=True):  # abandoned halfway it would stay behind
            tree = await run_sync(
                stack.enter_context,
                worktree.checked_out(space.root, one.green.commit, space.bases, seconds=seconds),
            )
        await run_sync(_lay, space, tree, one.green.commit, _tree(one.green))
        there = await _there(bench, run, tree)
        with_it = await _ended(bench, run, one.test, there, times)
        if len(with_it) < times or any(sample.outcome.bad for sample in with_it):
            raise Refused("it does not pass in a work tree of its own")
        for path in paths:
            await run_sync(_write, space, tree, _tree(one.red), path)
        without = await _ended(bench, run, one.test, there, times)
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(stack.close)
    red = [sample for sample in without if sample.outcome.bad and sample.group == one.fingerprint]
    if (
        len(without) < times
        or 0 < len(red) < len(without)
        or (not red and any(s.outcome.bad for s in without))
    ):
        raise Refused("without the change it fails in another way, or not each time")
    return Tried(transition=fixes.tried(one, red_without_it=bool(red)))


async def _there(bench: Bench, run: Run, tree: Worktree) -> Elsewhere:
    target = replace(run.target, root=str(tree.root), tried=())
    environ = await run_sync(imported.imports, target, tree, bench.space.environ)
    return Elsewhere(target=target, revision=await run_sync(revision.revision, tree.root), environ=environ)


async def _ended(bench: Bench, run: Run, test: str, there: Elsewhere, times: int) -> tuple[Sample, ...]:
    request = named(run, [test], parallel=0, repeat=times, purpose="base")
    again = await bench.run(request, f"Undoes what mended {quoted(test)}: does it fail again?", there)
    if again is None:
        raise Refused("no time was left")
    return told(again).get(place(test, run), ())


def _lay(space: Workspace, tree: Worktree, commit: str, green: str) -> None:
    """What was not committed when the test first passed, over the commit."""
    if green == commit:
        return
    changed = read_diff(space.snapshots.diff(space.root, commit, green))
    if len(changed) > _FILES:
        raise Refused("too much was uncommitted")
    for one in changed:
        if not one.hunks.startswith("Binary files"):  # what is no text stays as it was committed
            _write(space, tree, green, one.path, top=True)


def _write(space: Workspace, tree: Worktree, snapshot: str, path: str, *, top: bool = False) -> None:
    """The file *path* of *snapshot* in *tree*, or its absence; from the top of the repository, or from the project."""
    origin, folder = (tree.origin, tree.top) if top else (space.root, tree.root)
    file = folder / path
    if not file.resolve().is_relative_to(tree.top.resolve()):
        raise Refused("a file of the change lies elsewhere")
    if not space.snapshots.has(origin, snapshot, path):
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(space.snapshots.read(origin, snapshot, path), "utf-8", newline="")


def _tree(revised: Revision) -> str:
    return revised.tree or ("" if revised.dirty else revised.commit)
