"""What is kept of a run: rows, samples, histories, causes; in any order, and never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.history.fingerprint import fingerprint
from pytest_recall.history.trend import (
    environment_digest,
    failures,
    fold,
    merge,
    observed,
    row,
    samples,
    scope_digest,
    without_seed,
)
from pytest_recall.model import (
    Attempt,
    Collector,
    Crashed,
    Environment,
    Failure,
    FailureHistory,
    Finished,
    Frame,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Sample,
    Status,
    Target,
    Test,
    TestHistory,
    TimedOut,
)

Test.__test__ = TestHistory.__test__ = False


def broken(message="boom", test_id="a.py::t") -> Failure:
    frames = (Frame(path="shop.py", line=7, source="raise Boom", project=True),)
    return Failure(
        phase="call",
        exception="shop.Boom",
        message=message,
        frames=frames,
        fingerprint=fingerprint(
            exception="shop.Boom", message=message, frames=frames, root="", test_id=test_id
        ),
    )


def passed(test_id: str) -> Test:
    return Test(id=test_id, attempts=(Attempt(outcome=Outcome.PASSED, call_s=0.2),))


def failed(test_id: str, message="boom") -> Test:
    return Test(id=test_id, attempts=(Attempt(outcome=Outcome.FAILED, failures=(broken(message, test_id),)),))


def a_run(*tests: Test, **changes) -> Run:
    run = Run(
        id="r1",
        started_at=100.0,
        duration_s=1.0,
        target=Target(root="/p", python="/p/python", source="PATH"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED,
        terminations=(Finished(exit_code=1),),
        revision=Revision(digest="rev"),
        environment=Environment(python="3.12.1"),
        tests=tests,
    )
    return replace(run, **changes)


# --- runs that are no evidence ---


def test_finished_run_is_evidence():
    assert not row(a_run(failed("t"))).suspect


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.TIMED_OUT, "terminations": (TimedOut(limit_s=1),)},
        {"status": Status.CRASHED, "terminations": (Crashed(exit_code=None, signal="SIGSEGV"),)},
        {"status": Status.COLLECTION_FAILED},
        {"status": Status.CANCELLED},
    ],
)
def test_run_cut_short_is_suspect_and_gives_no_samples(changes):
    run = a_run(passed("t"), **changes)
    assert row(run).suspect
    assert samples(run, row(run)) == {}


def test_run_resumed_after_a_crash_is_evidence():
    ends = (Crashed(exit_code=None, signal="SIGSEGV"), Finished(exit_code=1))
    assert not row(a_run(passed("t"), status=Status.CRASHED, terminations=ends)).suspect


def test_crash_after_the_session_leaves_the_evidence():
    assert not row(
        a_run(passed("t"), status=Status.CRASHED, terminations=(Crashed(exit_code=1, at_exit=True),))
    ).suspect


@pytest.mark.parametrize(
    ("same", "other", "suspect"), [(10, 10, True), (10, 11, False), (9, 0, False), (200, 3, True)]
)
def test_run_with_one_cause_under_half_of_ten_failures_is_suspect(same, other, suspect):
    tests = [failed(f"t{n}") for n in range(same)] + [failed(f"o{n}", f"other {n} x") for n in range(other)]
    assert row(a_run(*tests)).suspect is suspect


def test_run_of_one_cause_is_remembered_apart_and_a_bounded_part_of_it():
    tests = [failed(f"t{n}") for n in range(250)] + [failed("o", "other x"), passed("p")]
    run = a_run(*tests)
    kept = samples(run, row(run))
    assert len(kept) == 202
    assert {"t0", "t199", "o", "p"} <= kept.keys()
    assert {s.environment for found in kept.values() for s in found} == {row(run).environment}
    assert row(run).environment == row(a_run(passed("p"))).environment + "/shared"
    cut = replace(run, status=Status.CANCELLED)
    assert not row(cut).environment.endswith("/shared")


# --- samples ---


def test_every_attempt_is_a_sample_and_skips_say_nothing():
    flaky = Test(id="f", attempts=(*failed("f").attempts, *passed("f").attempts))
    skipped = Test(id="s", attempts=(Attempt(outcome=Outcome.SKIPPED),))
    run = a_run(flaky, skipped)
    kept = samples(run, row(run))
    assert {name: [(s.attempt, s.outcome) for s in found] for name, found in kept.items()} == {
        "f": [(0, Outcome.FAILED), (1, Outcome.PASSED)]
    }
    assert kept["f"][0].group == broken().fingerprint.group
    assert kept["f"][0].fingerprint == broken(test_id="f").fingerprint.strict


def test_crashed_test_has_a_fingerprint_of_its_own():
    run = a_run(*(Test(id=name, attempts=(Attempt(outcome=Outcome.CRASHED),)) for name in "ab"))
    kept = observed(run, row(run))
    assert kept["a"][0].fingerprint.startswith("fp1:")
    assert kept["a"][0].group != kept["b"][0].group


def test_samples_carry_the_digest_of_what_their_file_reaches():
    run = a_run(passed("a.py::t"), passed("b.py::t"), reach=(("a.py", "d1"),))
    assert {name: found[0].sources for name, found in samples(run, row(run)).items()} == {
        "a.py::t": "d1",
        "b.py::t": "",
    }


def test_import_that_lost_attempts_is_out_of_flake_evidence():
    run = a_run(passed("t"), lost=("attempts",))
    assert samples(run, row(run))["t"][0].revision == ""


# --- digests ---


def test_environment_digest_tells_seeds_and_settings_apart():
    plain = Environment(python="3.12.1")
    one, two = (environment_digest(replace(plain, seed=seed)) for seed in "12")
    assert one != two
    assert without_seed(one) == without_seed(two) == environment_digest(plain)
    assert environment_digest(plain, env=[("DB", "pg")]) != environment_digest(plain)
    assert environment_digest(plain, args=["--runslow"]) != environment_digest(plain)


def test_option_that_no_test_feels_makes_no_environment_of_its_own():
    def cell(*args, **request):
        return row(a_run(*map(passed, "ab"), request=RunRequest(args=args, **request))).environment

    for args in (
        ("-x", "--maxfail=3", "-q", "-vv", "--tb=short", "-ra", "--no-header"),
        ("-xvl", "-r", "fE", "--tb", "short", "--maxfail", "1", "--durations", "5"),
    ):
        assert cell(*args) == cell()
        assert cell(*args, keyword="a or b") == cell(keyword="a or b")
        assert cell(*args, "--runslow") == cell("--runslow") != cell()
    for felt in ("-s", "--lf", "-nauto", "--strict", "--tbx=1", "-Werror", "-rx --runslow"):
        assert cell(felt) != cell()
    assert scope_digest(RunRequest(args=("-x",))) != scope_digest(RunRequest()), "it may end before a test"


def test_scope_is_the_selection_whatever_its_order():
    one = RunRequest(tests=("./a.py", "b/"), timeout_s=5, intent="x", repeat=3)
    assert scope_digest(one) == scope_digest(RunRequest(tests=("b", "a.py")))
    assert scope_digest(one) != scope_digest(replace(one, keyword="k"))
    assert scope_digest(one, "web") != scope_digest(one, "api")


def test_rerun_of_failed_tests_has_the_scope_of_those_tests():
    request = RunRequest(only="failed")
    assert row(a_run(failed("a"), request=request)).scope != row(a_run(failed("b"), request=request)).scope


# --- folding ---


def sample(run=0, attempt=0, outcome=Outcome.PASSED) -> Sample:
    return Sample(
        run=f"r{run:04}",
        at=float(run),
        revision="v",
        environment="e",
        space="local",
        outcome=outcome,
        attempt=attempt,
    )


SAMPLES = st.lists(st.builds(sample, run=st.integers(0, 300), attempt=st.integers(0, 2)), max_size=60)


@given(SAMPLES, SAMPLES)
def test_fold_gives_the_same_in_any_order_and_never_counts_twice(a, b):
    one = fold(fold(None, "t", a), "t", b)
    other = fold(fold(fold(None, "t", b), "t", a), "t", b)
    if a and b:
        assert one == other
    assert fold(one, "t", [*a, *b]) == one
    assert len({(s.run, s.attempt) for s in one.samples}) == len(one.samples)


def test_fold_keeps_the_newest_two_hundred():
    history = fold(
        fold(None, "t", [sample(run=n) for n in range(150)]), "t", [sample(run=n) for n in range(150, 300)]
    )
    assert [s.run for s in history.samples] == [f"r{n:04}" for n in range(100, 300)]
    assert history.first_seen == 0.0
    assert fold(history, "t", [sample(run=3)]) == history


def test_test_that_runs_again_is_not_gone():
    gone = replace(fold(None, "t", [sample(run=5)]), gone=True)
    assert fold(gone, "t", [sample(run=5)]).gone
    assert not fold(gone, "t", [sample(run=6)]).gone


# --- causes ---


def test_failures_are_kept_by_cause_with_their_tests():
    collector = Collector(id="b.py", outcome=Outcome.ERROR, failure=broken("no module", "b.py"))
    found = failures(a_run(failed("t1"), failed("t2"), passed("t3"), collectors=(collector,)))
    assert sorted((cause.message, cause.tests, cause.count) for cause in found.values()) == [
        ("boom", ("t1", "t2"), 1),
        ("no module", ("b.py",), 1),
    ]
    assert all(cause.path == "shop.py" and cause.source == "raise Boom" for cause in found.values())


def test_failure_that_a_rerun_made_good_is_not_what_the_run_ended_with():
    assert failures(a_run(Test(id="f", attempts=(*failed("f").attempts, *passed("f").attempts)))) == {}


def cause(run: int, test: int) -> FailureHistory:
    (found,) = failures(a_run(failed(f"t{test}"), id=f"r{run:04}", started_at=float(run))).values()
    return found


CAUSES = st.lists(st.builds(cause, st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=8)


def merged(causes) -> FailureHistory:
    whole = causes[0]
    for one in causes[1:]:
        whole = merge(whole, one)
    return whole


@given(CAUSES, CAUSES)
def test_merge_gives_the_same_in_either_order_and_never_counts_a_run_twice(a, b):
    one = merge(merged(a), merged(b))
    assert one == merge(merged(b), merged(a))
    assert merge(one, a[0]) == one
    assert one.count == len({part.first_run for part in (*a, *b)})


def test_a_part_of_the_suite_is_in_a_cell_of_its_own():
    def cell(*tests, **request):
        return row(a_run(*map(passed, tests), request=RunRequest(**request))).environment

    whole, one, few = cell("a", "b", "c"), cell("a", tests=("a",)), cell("a", "b", tests=("a", "b"))
    assert one == f"{whole}/alone"
    assert len({whole, few, cell("b", "c", tests=("b", "c")), cell("a", "b", keyword="a or b")}) == 4
    assert {without_seed(environment) for environment in (whole, one, few)} == {whole}
    assert cell("a", "b", tests=("./b", "a")) == few
    assert cell("a", "b", only="failed", keyword="a") == few, "as if they had been named"
