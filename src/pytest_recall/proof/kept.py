"""What was proven of a run's failures, kept beside the runs: every later answer about them knows it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from anyio.to_thread import run_sync

from pytest_recall.errors import StoreUnavailable
from pytest_recall.history.proof import Evidence, Proof
from pytest_recall.history.trend import row
from pytest_recall.model import Run, RunRow, Status, TestHistory
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
    """What was proven of the failures of *run*, or before it on the same sources; and what could not be."""
    failing = {test.id for test in run.tests.others if test.outcome.bad}
    failing |= {one.id for one in run.collectors if one.outcome.bad}
    if run.status is Status.PASSED or not failing:
        return Proven()
    proofs: dict[str, Proof] = {}
    remarks: tuple[str, ...] = ()
    now = row(run)
    for one in await space.store.evidence():
        if one.run == run.id:
            proofs |= dict(one.proofs)
            remarks = one.remarks
        elif one.run < run.id:
            for test, proof in one.proofs:
                if test in failing and test not in proofs and _fits(proof, now):
                    proofs[test] = proof
    return Proven(proofs=proofs, remarks=remarks)


def _fits(proof: Proof, now: RunRow) -> bool:
    """Whether *proof* is of the same sources in the same environment: what it shows is true of them again."""
    shown = (*proof.again, *proof.alone, *proof.together)
    here = now.revision.digest, now.environment.partition("/")[0]
    return bool(shown) and all((s.revision, s.environment.partition("/")[0]) == here for s in shown)


async def known(space: Workspace, histories: Iterable[TestHistory]) -> dict[str, Proof]:
    """The latest proof about each of these tests that is of the sources that it ran on last."""
    now = {one.id: one.samples[-1].revision for one in histories if one.samples}
    found: dict[str, Proof] = {}
    for one in await space.store.evidence() if now else ():
        for test, proof in one.proofs:
            shown = (*proof.again, *proof.alone, *proof.together)
            if shown and now.get(test) and test not in found and all(s.revision == now[test] for s in shown):
                found[test] = proof
    return found
