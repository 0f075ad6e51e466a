"""What was proven of a run's failures, kept beside the runs: every later answer about them knows it."""

from __future__ import annotations

import time

from anyio.to_thread import run_sync

from pytest_recall.errors import StoreUnavailable
from pytest_recall.history.proof import NOTHING, Evidence, Proof
from pytest_recall.model import Run, Status, TestHistory
from pytest_recall.proof.bench import Proven
from pytest_recall.workspace import Workspace


async def keep(space: Workspace, run_id: str, proven: Proven) -> None:
    """Keep it, beside what is known of the run's other tests. A disk that refuses costs the proof, not the answer."""
    if not proven.proofs and not proven.remarks:
        return
    known = [dict(one.proofs) for one in (await space.store.evidence(run_id))[:1]]
    proofs = {test: proof for each in (*known, proven.proofs) for test, proof in each.items()}
    evidence = Evidence(run=run_id, at=time.time(), proofs=tuple(proofs.items()), remarks=proven.remarks)
    try:
        await run_sync(space.store.learn, [evidence])
    except StoreUnavailable:
        space.log.exception("what was proven of run %s", run_id)


async def of(space: Workspace, run: Run) -> Proven:
    """What was proven of the failures of *run*, and what could not be."""
    if run.status is not Status.PASSED:
        for one in (await space.store.evidence(run.id))[:1]:
            return Proven(proofs=dict(one.proofs), remarks=one.remarks)
    return Proven()


async def about(space: Workspace, history: TestHistory) -> Proof:
    """The latest proof about a test, if it is of the sources that it ran on last."""
    now = history.samples[-1].revision if history.samples else ""
    for one in await space.store.evidence() if now else ():
        proof = dict(one.proofs).get(history.id)
        shown = proof and (*proof.again, *proof.alone, *proof.together)
        if proof and shown and all(sample.revision == now for sample in shown):
            return proof
    return NOTHING
