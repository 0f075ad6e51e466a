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
    """Each of *histories* with its verdict: the one that its last run was given, whoever asks."""
    weakly = await learning.weakly(space, histories)
    proofs = await kept.known(space, histories)
    return [
        Judged(
            history=one,
            judgement=verdict.judge(one, proof=proofs.get(one.id, NOTHING), weakened=weakly.get(one.id, ())),
        )
        for one in histories
    ]
