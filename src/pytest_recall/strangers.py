"""Whether a store that several projects could share has runs of another project: then its answers are of both."""

from __future__ import annotations

import re
import time

from anyio.to_thread import run_sync

from pytest_recall.history import lines
from pytest_recall.running import revision
from pytest_recall.workspace import Workspace

_ROWS = 50
_SECONDS = 2.0
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


async def trouble(space: Workspace) -> str:
    """In words for a reader; "" where each run is this project's, so far as its git can tell.

    A colleague's commits are here once they were fetched: one that is known is enough.
    """
    if space.strangers is None:
        found = await _found(space)
        if space.store.degraded:  # what could not be asked for may be there
            return ""
        space.strangers = found
    return space.strangers


async def _found(space: Workspace) -> str:
    own = await run_sync(revision.main_root, space.root)
    if not space.store.backend.shared and space.folder.parent == own:
        return ""
    here = lines.tree(str(space.root))
    rows = [row for row in await space.store.runs(limit=_ROWS) if lines.of_another(row, here)]
    commits = {row.revision.commit for row in rows if _COMMIT.fullmatch(row.revision.commit)}
    if not commits or await run_sync(_known, space, sorted(commits)):
        return ""
    setting = "PROJECT" if space.store.backend.shared else "FOLDER"
    return (
        f"Another project's runs are in this store, it seems: {len(rows)} whose commits git does not know. "
        f"Set PYTEST_RECALL_STORE_{setting} in each project's .env; or git fetch."
    )


def _known(space: Workspace, commits: list[str]) -> bool:
    """Whether git has any of *commits*, or cannot tell: of a shallow clone nothing follows."""
    until = time.monotonic() + _SECONDS
    try:
        shallow = revision.git(space.root, until, "rev-parse", "--is-shallow-repository")
        if shallow is None or shallow.strip() == b"true":
            return True
        listed = revision.git(space.root, until, "rev-list", "--no-walk", "--ignore-missing", *commits)
    except revision.TooLongError:
        return True
    return listed is None or bool(listed.strip())
