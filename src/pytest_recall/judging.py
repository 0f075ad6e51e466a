"""Tests judged outside a run: by all that is known of them, and by what was proven of their last failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_recall import learning
from pytest_recall.history import verdict
from pytest_recall.history.proof import NOTHING
from pytest_recall.model import TestHistory
from pytest_recall.proof import kept
from pytest_recall.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One test's history and what it says."""

    history: TestHistory
    judgement: verdict.Judgement


async def judged(space: Workspace, histories: Sequence[TestHistory]) -> list[Judged]:
    """Each of *histories* with its verdict: the one that its last run was given, whoever asks.

    A thousand take a third of a second. Those that the store gave before, the same objects, have the verdict of before.
    """
    mended = await learning.mended_before(space, histories)
    proofs = await kept.known(space, histories)
    made: dict[int, tuple[TestHistory, object, Judged]] = {}
    for one in histories:
        proof, before_it = proofs.get(one.id, NOTHING), mended.get(one.id, learning.UNMENDED)
        before = space.judged.get(id(one))
        if before is None or before[0] is not one or before[1] != (proof, before_it):
            fixed, unmended = before_it
            judgement = verdict.judge(one, proof=proof, fixed=fixed, unmended=unmended)
            before = one, (proof, before_it), Judged(history=one, judgement=judgement)
        made[id(one)] = before
    if len(made) > 1:
        space.judged = made
    return [found for _, _, found in made.values()]
