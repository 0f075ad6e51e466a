"""Fixes and the commits that hold them: a change is learnt while nobody has committed it, and gets its name later."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from anyio.to_thread import run_sync

from pytest_recall.history import fixes
from pytest_recall.model import Transition
from pytest_recall.running import commits
from pytest_recall.workspace import Workspace

_DAYS = 30  # after that a change that no commit holds waits no longer
_MOST = 500


async def attach(space: Workspace) -> list[Transition]:
    """Give each recent fix the commit that holds its change; those that got one, or another one after an amend.

    Raises:
        StoreUnavailable: it cannot be kept.
    """
    since = time.time() - _DAYS * 86_400
    known = await space.store.transitions(limit=_MOST)
    recent = [one for one in known if one.at >= since and one.changes and one.red.commit]
    if not recent:
        return []
    found = await run_sync(_found, space.root, recent)
    await run_sync(space.store.learn, found)
    return found


def _found(root: Path, recent: Sequence[Transition]) -> list[Transition]:
    standing = commits.standing(root)
    waiting = sorted(
        (one for one in recent if one.commit not in standing), key=lambda one: (one.red.commit, one.at)
    )
    found = []
    for base, group in groupby(waiting, key=lambda one: one.red.commit):
        ours = list(group)
        paths = sorted({change.path for one in ours for change in one.changes})
        history = list(commits.after(root, base, paths))
        for one in ours:
            holder = next((commit for commit in history if fixes.holds(one, commit.diff)), None)
            if holder is not None:
                found.append(replace(one, commit=holder.sha, message=holder.message))
    return found
