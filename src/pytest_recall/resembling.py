"""Seen before? What a failure is like that no fingerprint knows, by likeness and by the words that it shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_recall.history.fingerprint import document
from pytest_recall.history.groups import Group
from pytest_recall.history.similar import NEAR, Match, likest, matches
from pytest_recall.model import Run
from pytest_recall.workspace import Workspace

_ASKED = 3  # causes of a run, the first ones


async def similar(space: Workspace, text: str, limit: int) -> list[Match]:
    """Known causes that are like *text*, the surest first, at most *limit*."""
    near = await space.store.similar(text, max(limit, NEAR))
    return matches(text, near, root=str(space.root))[:limit]


async def alike(
    space: Workspace, run: Run, causes: Sequence[Group], known: Mapping[str, Match], *, patient: bool
) -> dict[str, Match]:
    """What the first *causes* of *run* that are not *known* are much like, by their fingerprints: other tests' causes.

    Who is not *patient* asks only an index that is at hand.
    """
    here = {match.failure.fingerprint for match in known.values()}
    found: dict[str, Match] = {}
    for cause in [one for one in causes if one.fingerprint not in known][:_ASKED]:
        if cause.failure is None:
            continue
        text = document(cause.failure, root=run.rootdir)
        near = await space.store.similar(text, NEAR, patient=patient)
        before = [each for each in near if each[0].first_run < run.id and each[0].fingerprint not in here]
        if best := likest(text, before, tests=cause.tests, root=run.rootdir):
            found[cause.fingerprint] = best
    return found
