"""Causes of one run, judged: a known flake never hides a regression, and one cause is said once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_recall.history.fingerprint import fingerprint
from pytest_recall.history.groups import group
from pytest_recall.history.proof import Proof
from pytest_recall.history.trend import fold, observed, row
from pytest_recall.history.verdict import Verdict, judge_groups
from pytest_recall.model import (
    Attempt,
    Collector,
    Environment,
    Failure,
    Finished,
    Frame,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Status,
    Target,
    Test,
)

Test.__test__ = False
CLEAN = Revision(digest="clean", commit="c1")
DIRTY = Revision(digest="dirty", commit="c1", dirty=True)


def failure(test_id: str, message: str, phase="call") -> Failure:
    frames = (Frame(path="shop.py", line=7, source="raise Boom", project=True),)
    prints = fingerprint(exception="Boom", message=message, frames=frames, root="", test_id=test_id)
    return Failure(phase=phase, exception="Boom", message=message, frames=frames, fingerprint=prints)


def a_test(test_id: str, *messages: str, times: int = 1) -> Test:
    """Passed without *messages*; else failed with one failure each, *times* in a row."""
    failures = tuple(failure(test_id, message) for message in messages)
    outcome = Outcome.FAILED if failures else Outcome.PASSED
    attempts = (Attempt(outcome=outcome, failures=failures, repetition=n) for n in range(times))
    return Test(id=test_id, attempts=tuple(attempts))


def a_run(*tests: Test, n: int = 9, revision: Revision = DIRTY, **changes) -> Run:
    run = Run(
        id=f"r{n}",
        started_at=float(n),
        duration_s=1.0,
        target=Target(root="/p", python="python", source="PATH"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED,
        terminations=(Finished(exit_code=1),),
        revision=revision,
        environment=Environment(),
        tests=tests,
    )
    return replace(run, **changes)


def known(*runs: Run) -> dict:
    """The histories after *runs*."""
    found = {}
    for run in runs:
        for test_id, samples in observed(run, row(run)).items():
            found[test_id] = fold(found.get(test_id), test_id, samples)
    return found


def verdicts(run: Run, histories=None, earlier: Run | None = None) -> list[Verdict | None]:
    return [judged.verdict for judged in judge_groups(group(run), histories or {}, run, earlier)]


def test_clean_run_of_the_same_commit_is_the_base():
    base = a_run(a_test("a"), n=1, revision=CLEAN)
    assert verdicts(a_run(a_test("a", "boom", times=3)), earlier=base) == [Verdict.REGRESSION]
    failing = a_run(a_test("a", "boom"), n=1, revision=CLEAN)
    assert verdicts(a_run(a_test("a", "boom")), earlier=failing) == [Verdict.PRE_EXISTING]


def test_run_of_another_commit_is_not_the_base():
    other = a_run(a_test("a"), n=1, revision=replace(CLEAN, commit="c0", digest="c0"))
    assert verdicts(a_run(a_test("a", "boom")), earlier=other) == [Verdict.NEW_FAILURE]


def test_each_cause_of_a_test_is_compared_with_all_that_it_had_at_the_base():
    now = a_run(a_test("a", "boom", "torn", times=3))
    for causes, found in {
        ("boom", "torn"): [True, True],
        ("torn",): [False, True],
        ("other", "boom"): [True, False],
    }.items():
        base = a_run(a_test("a", *causes, times=3), n=1, revision=CLEAN)
        assert [one is Verdict.PRE_EXISTING for one in verdicts(now, earlier=base)] == found

        [samples] = observed(base, row(base)).values()
        shown = tuple(dict.fromkeys(one.fingerprint.group for one in base.tests[0].failures))
        proof = Proof(base=tuple(samples), causes=shown)
        judged = judge_groups(group(now), {}, now, proofs={"a": proof})
        assert [one.verdict is Verdict.PRE_EXISTING for one in judged] == found


def test_clean_run_in_another_environment_is_not_the_base():
    base = a_run(a_test("a"), n=1, revision=CLEAN, environment=Environment(distributions="before"))
    assert verdicts(a_run(a_test("a", "boom", times=3)), earlier=base) == [Verdict.NEW_FAILURE]


def test_history_may_or_may_not_have_the_run_itself():
    base, run = a_run(a_test("a"), n=1, revision=CLEAN), a_run(a_test("a", "boom"))
    assert verdicts(run, known(base)) == verdicts(run, known(base, run)) == [Verdict.NEW_FAILURE]


def test_known_flake_does_not_hide_a_new_failure_of_the_same_cause():
    flaked = a_run(a_test("a"), n=2, revision=CLEAN)
    red = a_run(a_test("a", "boom"), a_test("b"), n=1, revision=CLEAN)
    run = a_run(a_test("a", "boom"), a_test("b", "boom"))
    (judged,) = judge_groups(group(run), known(red, flaked), run)
    assert judged.verdict is Verdict.NEW_FAILURE
    assert judged.evidence.startswith("2 failures share this cause (1 of 2 so judged)")
    alone = a_run(a_test("a", "boom"), a_test("b"))
    assert verdicts(alone, known(red, flaked)) == [Verdict.FLAKY]


def test_second_cause_of_a_known_flake_is_judged_for_itself():
    histories = known(
        a_run(a_test("a", "boom"), n=1, revision=CLEAN), a_run(a_test("a"), n=2, revision=CLEAN)
    )
    assert verdicts(a_run(a_test("a", "boom", "other")), histories) == [Verdict.FLAKY, Verdict.NEW_FAILURE]


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        (None, Verdict.NOT_ENOUGH_EVIDENCE),
        ((), Verdict.NEW_FAILURE),
        ((Collector(id="a.py", outcome=Outcome.ERROR),), Verdict.NOT_ENOUGH_EVIDENCE),
    ],
)
def test_collector_is_judged_by_the_last_comparable_run(before, verdict):
    broken = Collector(id="a.py", outcome=Outcome.ERROR, failure=failure("a.py", "no module", "collect"))
    run = a_run(collectors=(broken,), status=Status.COLLECTION_FAILED)
    earlier = None if before is None else a_run(n=1, collectors=before)
    assert judge_groups(group(run), {}, run, earlier)[0].verdict is verdict


def test_many_failures_of_one_cause_are_said_once():
    run = a_run(*(a_test(f"t{n}", "boom") for n in range(212)))
    (judged,) = judge_groups(group(run), {}, run)
    assert "212 failures share this cause" in judged.evidence
