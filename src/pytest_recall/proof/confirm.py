"""Is a fresh failure real, and whose is it? Rerun it; what stays red, at the base; what turns green, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from anyio.to_thread import run_sync

from pytest_recall.errors import BadRequest, listed
from pytest_recall.history import groups, written
from pytest_recall.history.past import both
from pytest_recall.history.proof import Proof
from pytest_recall.model import Outcome, Run, Sample, Status
from pytest_recall.proof.base import AtBase, at_base
from pytest_recall.proof.bench import Bench, Proven, named, place, repeated, told
from pytest_recall.proof.collection import collection
from pytest_recall.proof.order import order

MOST = 20  # tests that one confirmation reruns
_WHOLE = 8_000  # characters: a longer id is told cut, and one that pytest does not know stops all
_BASE_LEAST, _BASE_MOST = 3, 5  # times that they are run at the base
_CONFIRMED = frozenset({Status.FAILED, Status.CRASHED, Status.TIMED_OUT, Status.COLLECTION_FAILED})


async def confirm(bench: Bench, run: Run, times: int) -> Proven:
    """Rerun what failed in *run*, *times* times on its revision, and find out what the outcomes leave open."""
    try:
        if run.status not in _CONFIRMED:
            return Proven()
        files, tests = await collection(bench, run), await _confirm(bench, run, times)
        return Proven(proofs={**files.proofs, **tests.proofs}, remarks=(*files.remarks, *tests.remarks))
    except Exception as error:  # noqa: BLE001 - a proof lost is no reason to lose the answer of the run
        return Proven(remarks=(f"confirm came to nothing: {type(error).__name__}: {error!s:.200}",))


async def _confirm(bench: Bench, run: Run, times: int) -> Proven:
    failing = list(_failing(run))
    tests = failing[:MOST]
    if not tests:
        return Proven()
    # Where nothing but these ran, they have been alone all the time.
    alone = len(tests) < len(run.tests)
    note = f"Reruns what failed in run {run.id}: is it real?"
    request = named(run, tests, repeat=times, purpose="alone") if alone else repeated(run, times)
    try:
        again = await bench.run(request, note)
    except BadRequest as error:
        return Proven(remarks=(f"confirm: what failed could not be rerun: {error}",))
    if again is None:
        return Proven(remarks=("confirm: no time was left to rerun what failed.",))
    outcomes = told(again)
    proofs = {
        test: Proof(alone=samples) if alone else Proof(again=samples)
        for test in tests
        if (samples := outcomes.get(place(test, run), ()))
    }
    red = [test for test in proofs if all(s.outcome.bad for s in _seen(proofs[test]))]
    green = [test for test in proofs if not any(s.outcome.bad for s in _seen(proofs[test]))] if alone else []
    remarks = _left_out(failing, tests, proofs)
    remarks += _changed(await run_sync(bench.space.changed_since, run), run, again)
    if red:
        found = await at_base(bench, run, red, times=min(max(times, _BASE_LEAST), _BASE_MOST))
        remarks += found.remarks
        proofs |= {test: _with_base(proofs[test], found, test) for test in red}
    if green:
        ordered = await order(bench, run, {test: proofs[test] for test in green})
        remarks += ordered.remarks
        proofs |= ordered.proofs
    return Proven(proofs=proofs, remarks=tuple(remarks))


def _failing(run: Run) -> Iterator[str]:
    """The tests that ran and failed: of each cause the first, then of each the second, …"""
    ran = {
        test.id
        for test in run.tests.others
        if test.outcome.bad and test.outcome is not Outcome.NOT_RUN and len(test.id) < _WHOLE
    }
    causes = [[test for test in cause.tests if test in ran] for cause in groups.group(run)]
    yield from dict.fromkeys(test for row in zip_longest(*causes) for test in row if test is not None)


def _seen(proof: Proof) -> Sequence[Sample]:
    return (*proof.again, *proof.alone)


def _with_base(proof: Proof, found: AtBase, test: str) -> Proof:
    base = found.samples.get(test, ())
    if both(base):  # a flake there, which is the test's history and no comparison
        return replace(proof, again=proof.again + base)
    return replace(
        proof,
        base=base,
        commit=found.commits.get(test, ""),
        causes=found.causes.get(test, ()),
        whole=test in found.whole,
        failed=found.failed.get(test, ()),
    )


def _changed(paths: Sequence[str] | None, run: Run, again: Run) -> list[str]:
    """What it means that *paths* are others than when *run* began, and some maybe before its rerun *again* did."""
    edited = written.sources(paths or (), run.tests.ids)
    if edited or again.revision.digest != run.revision.digest:
        which = listed(edited, most=3) if edited else "files of the project"
        said = (
            f"confirm: {which} changed while the tests ran, so the reruns are of other sources and prove nothing."
            " Confirm again; where it is the tests that write there, have git ignore that, or let them write elsewhere."
        )
        return [said]
    said = (
        f"The tests write files that git does not ignore: {listed(paths or (), most=3)}. By that each run is a revision"
        " of its own, and two runs prove no flake: have git ignore them, or let the tests write elsewhere."
    )
    return [said] if paths else []


def _left_out(failing: Sequence[str], tests: Sequence[str], proofs: Mapping[str, Proof]) -> list[str]:
    remarks = []
    if len(tests) < len(failing):
        remarks.append(
            f"confirm: {len(tests)} of {len(failing)} failing tests were rerun, some of each cause."
        )
    if len(proofs) < len(tests):
        remarks.append(
            f"confirm: {len(tests) - len(proofs)} tests did not come to an end when rerun in the time left."
        )
    return remarks
