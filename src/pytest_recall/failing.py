"""The tests that failed last, for whoever asks: on the line of work that the project's folder is on now."""

from __future__ import annotations

from anyio.to_thread import run_sync

from pytest_recall import ci
from pytest_recall.history import lines
from pytest_recall.model import TestHistory
from pytest_recall.running import command, revision
from pytest_recall.workspace import Asker, Workspace


async def failing(space: Workspace, asker: Asker) -> list[str]:
    """Their ids, but of files that were deleted since. A test that the line never ran goes by the last run of any."""
    known = await space.store.tests()
    return await run_sync(_failing, space, asker, [one for one in known.values() if not one.gone])


def _failing(space: Workspace, asker: Asker, known: list[TestHistory]) -> list[str]:
    pipeline = ci.recognise(space.environ)
    in_ci = space.belongs(asker, pipeline) == "ci"
    folders = map(str, (space.root, *space.root.parents))  # pytest may have taken any of them for its root
    branch = pipeline.branch if in_ci and pipeline else ""
    begins = lines.now(folders, revision.head(space.root), ci=in_ci, branch=branch)
    last = {one.id: lines.latest_of(reversed(one.samples), begins, ci=in_ci) for one in known}
    # A file that was deleted since would make pytest refuse the others too.
    return command.present(
        [test for test, sample in last.items() if sample and sample.outcome.bad], space.root
    )
