"""Is a suspect flaky? Rerun it alone; where it ends otherwise than in its runs, in the order of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from anyio.to_thread import run_sync

from pytest_recall.errors import BadRequest, quoted
from pytest_recall.history.past import both
from pytest_recall.history.proof import Proof
from pytest_recall.history.trend import ALONE
from pytest_recall.model import Run, Sample, TestHistory
from pytest_recall.proof.bench import Bench, Proven, collected, named, place, told
from pytest_recall.proof.order import order
from pytest_recall.running import revision
from pytest_recall.suite import Tests

_LOOKED = 10  # runs of a test in which its company is looked for


async def verify(bench: Bench, histories: Sequence[TestHistory], times: int) -> Proven:
    """Rerun each test of *histories* *times* times by itself; where that ended one way and its runs another, in order.

    Each in processes of its own, as far as the bench's time allows.
    """
    proofs: dict[str, Proof] = {}
    remarks: list[str] = []
    for history in histories:
        suspect = _Suspect(bench, history)
        try:
            found = await suspect.verify(times)
        except BadRequest as error:
            found = suspect.open(str(error))
        proofs |= found.proofs
        remarks += found.remarks
    return Proven(proofs=proofs, remarks=tuple(remarks))


class _Suspect:
    def __init__(self, bench: Bench, history: TestHistory) -> None:
        self._bench = bench
        self._history = history
        self._id = history.id

    async def verify(self, times: int) -> Proven:
        samples = [s for s in reversed(self._history.samples) if ALONE not in s.environment]
        last = await self._among(samples)
        if last is None:
            return self.open("no run of it is kept any more")
        request = named(last, [self._id], parallel=0, repeat=times, purpose="alone")
        again = await self._bench.run(request, f"Reruns {quoted(self._id)} alone: is it flaky?")
        alone = told(again).get(place(self._id, last), ()) if again is not None else ()
        if not alone:
            return self.open("it did not run in the time left, or is there no more")
        proof = Proof(alone=alone)
        if both(alone):
            return Proven(proofs={self._id: proof})
        other = await self._among([s for s in samples if s.outcome.bad is not alone[0].outcome.bad])
        if other is None or len(other.tests) == 1:
            return Proven(proofs={self._id: proof})
        return await self._in_order(other, proof)

    async def _in_order(self, run: Run, proof: Proof) -> Proven:
        """Whether it ends as in *run* after the same tests, so far as they are still there."""
        space = self._bench.space
        now = await run_sync(revision.revision, space.root)
        if run.revision.digest == now.digest:
            return await order(self._bench, run, {self._id: proof}, times=2)
        paths = [place(test, run) for test in run.tests.ids]
        there = [path for path in paths if (space.root / path.partition("::")[0]).exists()]
        target = await run_sync(space.target)
        known = collected(await self._bench.discover(run, there, target=target, environ=space.environ))
        tests = tuple(test for test in run.tests if place(test.id, run) in known)
        if not any(test.id == self._id for test in tests):
            return self.open("it is there no more")
        known_yet = replace(run, tests=Tests.of(tests))
        return await order(self._bench, known_yet, {self._id: proof}, times=2, whole=False)

    async def _among(self, samples: Sequence[Sample]) -> Run | None:
        """The newest run of *samples* that is kept, and ran the test among others if one did."""
        found = None
        for run_id in list(dict.fromkeys(s.run for s in samples))[:_LOOKED]:
            run = await self._bench.space.store.run(run_id)
            if run is not None and self._id in run.tests.ids:
                found = found or run
                if len(run.tests) > 1:
                    return run
        return found

    def open(self, why: str) -> Proven:
        """Nothing proven, and *why*."""
        return Proven(remarks=(f"{quoted(self._id)} could not be verified: {why.rstrip('.')}.",))
