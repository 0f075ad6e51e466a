"""The tests that a change may matter to: those that can reach a changed file by their imports, and what failed last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from anyio.to_thread import run_sync

from pytest_recall.errors import BadRequest, NothingToRun
from pytest_recall.failing import failing
from pytest_recall.history.patch import is_config, is_test_file
from pytest_recall.history.reach import reached
from pytest_recall.running import commits, revision, worktree
from pytest_recall.workspace import Asker, Workspace


async def affected(space: Workspace, asker: Asker) -> tuple[str, ...]:
    """Test files and ids to run; empty: all of them, because the configuration of the tests itself has changed.

    Changed is what the upstream or default branch does not have, committed or not; where that is
    nothing, what the last commit did.

    Raises:
        BadRequest: nobody knows what has changed.
        NothingToRun: no test can reach a changed file, and none failed last.
    """
    changed = await run_sync(_changed, space)
    if any(is_config(path) for path in changed):
        return ()
    files = await run_sync(_reaching, space, changed)
    last = [test for test in await failing(space, asker) if test.partition("::")[0] not in files]
    found = [*files, *last]
    if not found:
        raise NothingToRun(
            f"No test can reach what has changed ({len(changed)} files), and none failed last. Run with only='all'."
        )
    return tuple(sorted(found))


def _changed(space: Workspace) -> frozenset[str]:
    now = revision.revision(space.root)
    try:
        return commits.changed(space.root, worktree.base(space.root, replace(now, dirty=False)))
    except worktree.Refused as error:
        if now.commit and now.dirty:  # the first commit, and changes on it
            return commits.changed(space.root, now.commit)
        raise BadRequest(f"What has changed is not known: {error}. Run with only='all'.") from None


def _reaching(space: Workspace, changed: Collection[str]) -> list[str]:
    sources = space.sources.now()
    tests = [
        path for path in sources if is_test_file(path) and not path.endswith(("conftest.py", "__init__.py"))
    ]
    return [path for path in tests if not reached(path, sources).isdisjoint(changed)]
