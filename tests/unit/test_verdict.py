"""One story a verdict: what the samples were, and what may be said of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.history.odds import (
    beta_rank,
    clean_passes_needed,
    noise,
    posterior_real,
    slower,
    wilson,
)
from pytest_recall.history.proof import Proof
from pytest_recall.history.trend import fold
from pytest_recall.history.verdict import Judgement, Verdict, judge
from pytest_recall.model import Outcome, Sample, TestHistory

TestHistory.__test__ = False


def samples(story: str, *, start: int = 0) -> list[Sample]:
    """*story*: runs apart by spaces, attempts within by commas, each `revision[@environment]:outcomes`.

    Outcomes are one letter an attempt: `.` passed, a capital letter failed with that fingerprint,
    `?` failed with none known, `x` xfailed. A digit after the revision is the state of the sources: `a1`.
    """
    found = []
    for n, one in enumerate(story.split(), start):
        where, _, outcomes = one.partition(":")
        revision, _, environment = where.partition("@")
        for attempt, letter in enumerate(outcomes):
            outcome = {".": Outcome.PASSED, "x": Outcome.XFAILED}.get(letter, Outcome.FAILED)
            found.append(
                Sample(
                    run=f"r{n:03}",
                    at=float(n),
                    revision=revision,
                    environment=environment or "e",
                    space="local",
                    outcome=outcome,
                    group=letter if letter.isupper() else "",
                    attempt=attempt,
                    sources=revision[-1] if revision[-1:].isdigit() else "",
                )
            )
    return found


def of(story: str, now: str = "", **known) -> Judgement:
    past = samples(story)
    history = TestHistory(id="t", first_seen=0.0, samples=tuple(past)) if past else None
    return judge(history, samples(now, start=len(story.split())), **known)


def told(story: str, now: str = "", **known) -> Verdict | None:
    return of(story, now, **known).verdict


# --- E1: both outcomes in one cell ---


def test_both_outcomes_on_one_revision_prove_a_flake():
    found = of("a:. a:. b:.", "b:A")
    assert found.verdict is Verdict.FLAKY
    assert (found.failures, found.attempts) == (1, 4)
    assert "1/4" in found.evidence


def test_pass_on_rerun_within_one_run_proves_a_flake():
    assert told("", "a:A.") is Verdict.FLAKY


def test_pass_in_a_later_rerun_of_the_same_revision_proves_a_flake():
    past = samples("a:. b:A b:..")
    history = TestHistory(id="t", first_seen=0.0, samples=tuple(past))
    assert judge(history, past[1:2]).verdict is Verdict.FLAKY


def test_known_flake_with_its_fingerprint_on_a_new_revision_is_that_flake():
    assert told("a:A. b:. c:. d:.", "e:A") is Verdict.FLAKY


def test_another_fingerprint_is_not_the_known_flake():
    assert told("a:A. b:. c:. d:.", "e:B") is Verdict.NEW_FAILURE


def test_failure_without_fingerprint_is_never_excused_by_a_known_flake():
    assert told("a:A. b:. c:.", "d:?") is not Verdict.FLAKY


def test_more_red_in_a_row_than_the_known_rate_explains_is_no_flake():
    calm = "a:A." + " b:." * 40
    assert told(calm, "c:A") is Verdict.FLAKY
    assert told(calm, "c:AAAA") is Verdict.NOT_ENOUGH_EVIDENCE
    assert told(calm, "c:AAAA", base=samples("b:...")) is Verdict.REGRESSION


def test_change_that_reaches_the_test_is_not_excused_by_its_known_flake():
    assert told("a:A. b:. c:.", "d:A", touched=["shop.py"]) is not Verdict.FLAKY


def test_results_without_a_revision_prove_no_flake():
    assert told("@e:. @e:.", "@e:A") is not Verdict.FLAKY


def test_expected_failure_beside_a_failure_is_no_flake():
    assert told("a:x a:x", "a:A") is not Verdict.FLAKY


def test_failure_rate_alone_is_no_flakiness():
    assert told("a:. b:A c:. d:A e:. f:.", "g:A") is not Verdict.FLAKY


def test_flake_is_not_cleared_by_time_or_by_changes_elsewhere():
    assert told("a1:A. " + "b1:. " * 80) is Verdict.FLAKY
    assert told("a:A. " + "b:. " * 80) is Verdict.FLAKY


def test_flake_is_cleared_by_a_change_that_reaches_it_and_enough_passes():
    needed = clean_passes_needed(wilson(1, 2)[0])
    assert told("a1:A. " + "b2:. " * (needed - 1)) is Verdict.FLAKY
    assert told("a1:A. " + "b2:. " * (needed + 20)) is None


# --- a change outside the sources ---


def test_red_for_good_on_sources_that_passed_is_no_flake():
    found = of("a:. a:.", "a:AAAA")
    assert (found.verdict, found.attempts) == (Verdict.NEW_FAILURE, 0)
    assert "2 passed on these very sources, then 4 in a row failed: something outside" in found.evidence
    assert told("a:. a:A a@e/alone:AAA") is Verdict.NEW_FAILURE
    assert told("a:. a:AAAA", "a:.") is Verdict.FIXED, "what was outside is as before"
    assert told("a:. a:AAAA", "b:A") is not Verdict.FLAKY


def test_red_for_good_needs_a_pass_before_and_three_reruns():
    assert told("a:.", "a:AAA") is Verdict.FLAKY
    assert told("a:.", "a:AA.AA") is Verdict.FLAKY
    assert told("a:AAAA", "a:.") is Verdict.FLAKY
    assert told("b:A. a:.", "a:AAAA") is Verdict.FLAKY, "a flake that is known"


# --- runs that one cause broke ---


def test_failure_of_a_run_that_one_cause_broke_is_no_flake_and_no_rate():
    found = of("a:. a@e/shared:A a:. b:.", "b:.")
    assert (found.verdict, found.attempts) == (None, 4)
    assert told("a:. a@e/shared:A a@e/shared:A a:.", "b:B") is Verdict.NEW_FAILURE
    assert told("a1:. b1@e/shared:A c1:.", "d1:B") is Verdict.NEW_FAILURE, "an outage is no flip"


def test_failures_of_runs_that_one_cause_broke_make_a_streak_and_a_fix():
    assert "4 runs in a row" in of("a:. b@e/shared:A c@e/shared:A d@e/shared:A", "e@e/shared:A").action
    assert told("a:. b@e/shared:A c@e/shared:A", "d:.") is Verdict.FIXED
    assert told("a:. b@e/shared:A c@e/shared:A d:.", "e@e/shared:A") is Verdict.RECURRED


def test_run_that_one_cause_broke_is_judged_by_all_that_it_shows():
    assert told("a:. a:.", "a@e/shared:A") is Verdict.FLAKY
    again = Proof(again=tuple(samples("a@e/shared:A.", start=1)))
    assert told("", "a@e/shared:A", proof=again) is Verdict.NOT_ENOUGH_EVIDENCE, "where nobody folds them in"
    past = fold(None, "t", again.again)
    assert judge(past, samples("a@e/shared:A"), proof=again).verdict is Verdict.FLAKY


# --- E2, E3, E4 ---


def test_outcome_that_follows_the_environment_is_told():
    assert told("a@linux:. a@linux:. a@mac:A", "a@mac:A") is Verdict.ENVIRONMENT_DEPENDENT
    assert told("a@mac:A a@mac:A a@linux:.", "a@linux:.") is Verdict.ENVIRONMENT_DEPENDENT


def test_one_result_a_side_does_not_prove_an_environment():
    assert told("a@linux:.", "a@mac:A") is not Verdict.ENVIRONMENT_DEPENDENT


def test_environments_on_different_revisions_are_not_compared():
    assert told("a@linux:. a@linux:. b@mac:A", "b@mac:A") is not Verdict.ENVIRONMENT_DEPENDENT


def test_outcome_that_follows_the_order_seed_is_order_dependent():
    assert told("a@e/1:. a@e/2:. a@e/3:A", "a@e/3:A") is Verdict.ORDER_DEPENDENT


def test_test_that_only_passes_alone_is_order_dependent():
    assert told("a:.", "b:AA", alone=samples("b:..")) is Verdict.ORDER_DEPENDENT
    assert told("a:.", "b:A", alone=samples("b:..")) is not Verdict.ORDER_DEPENDENT


def test_two_weak_signs_make_a_suspicion_and_one_does_not():
    assert told("a:. b:.", "c:A", touched=(), known_flaky=["A"]) is Verdict.SUSPECTED_FLAKY
    assert told("a:. b:.", "c:A", touched=()) is Verdict.NEW_FAILURE
    assert told("a:. b:.", "c:A", known_flaky=["A"]) is Verdict.NEW_FAILURE
    assert told("a1:. b1:A c1:.", "d1:A") is Verdict.SUSPECTED_FLAKY
    assert told("a1:. b2:A c3:.", "d4:A") is not Verdict.SUSPECTED_FLAKY


def test_weak_signs_never_outrank_what_the_base_shows():
    past = "a1:. b1:A c1:."
    assert told(past, "d1:AAAA", base=samples("a1:....")) is Verdict.REGRESSION
    assert told(past, "d1:A", base=samples("a1:A")) is Verdict.PRE_EXISTING


def test_suspicion_ends_where_reruns_are_redder_than_chance():
    past = "a1:. b1:A c1:. " + "c1:. " * 8
    assert told(past, "d1:B") is Verdict.SUSPECTED_FLAKY
    assert "none of its imports changed" in of(past, "d1:B").evidence
    assert told(past, "d1:BBBB") is Verdict.NEW_FAILURE


# --- a cause ---


def test_first_failure_after_passes_is_new():
    found = of("a:. b:.", "c:A")
    assert found.verdict is Verdict.NEW_FAILURE
    assert "2/2" in found.evidence


def test_failing_on_three_revisions_with_one_fingerprint_is_broken():
    assert told("a:. b:A c:A", "d:A") is Verdict.BROKEN
    assert told("a:. b:A b:A", "b:A") is Verdict.NEW_FAILURE
    assert told("a:. b:A c:B", "d:A") is not Verdict.BROKEN


def test_failing_with_one_fingerprint_over_edits_warns_of_a_loop():
    assert "have not reached the failing frame" in of("a:. b:A c:A d:A", "e:A").action


def test_failing_at_the_base_too_is_pre_existing():
    assert told("a:.", "b:A", base=samples("base:A")) is Verdict.PRE_EXISTING


def test_failing_otherwise_at_the_base_is_not_pre_existing():
    assert told("a:.", "b:A", base=samples("base:B")) is not Verdict.PRE_EXISTING


def test_passing_at_the_base_and_red_again_and_again_is_a_regression():
    found = of("a:.", "b:AAA", base=samples("base:....."), touched=["shop.py"])
    assert found.verdict is Verdict.REGRESSION
    assert "5/5" in found.evidence
    assert "3/3" in found.evidence
    assert "shop.py" in found.evidence


def test_single_red_is_no_regression_yet():
    assert told("a:.", "b:A", base=samples("base:.....")) is Verdict.NEW_FAILURE


def test_known_flake_excuses_no_change_of_what_it_uses():
    flake = "a1:.A. b1:. c1:.A."
    assert told(flake, "d1:A") is Verdict.FLAKY
    assert of(flake, "d2:A").verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "either may be why" in of(flake, "d2:A").evidence
    assert told(flake, "d2:A.") is Verdict.FLAKY, "a rerun that passes tells"
    assert told(flake, "d2:AA", base=samples("c1:...")) is Verdict.NOT_ENOUGH_EVIDENCE, (
        "chance may be this red"
    )
    assert told(flake, "d2:AAAAA", base=samples("c1:...")) is Verdict.REGRESSION
    assert told(flake, "d1:AAAAA", base=samples("c1:...")) is not Verdict.REGRESSION, "no change reaches it"
    assert told(flake, "d1:AAAAAAAA", base=samples("c1:...")) is Verdict.REGRESSION


def test_fixed_fingerprint_that_is_back_recurred():
    assert told("a:. b:A c:A d:. e:.", "f:A") is Verdict.RECURRED
    assert told("a:.", "f:A", fixed={"A": 0.0}) is Verdict.RECURRED


def test_failure_that_only_a_weakened_test_hid_did_not_recur():
    assert told("a:. b:A c:A d:. e:.", "f:A", unmended=["A"]) is not Verdict.RECURRED


def test_failure_that_was_never_reproduced_did_not_recur():
    assert told("a:. b:A c:. d:.", "e:A") is Verdict.NOT_ENOUGH_EVIDENCE


def test_test_never_seen_before_is_not_judged():
    assert told("", "a:A") is Verdict.NOT_ENOUGH_EVIDENCE


# --- passes ---


def test_pass_after_a_reproduced_failure_is_fixed_once():
    assert told("a:. b:A c:A", "d:.") is Verdict.FIXED
    assert told("a:. b:A c:A d:.", "e:.") is None


def test_pass_after_a_single_failure_is_not_called_fixed():
    assert told("a:. b:A", "c:.") is Verdict.NOT_ENOUGH_EVIDENCE


def test_test_that_always_passed_has_no_verdict():
    assert told("a:. b:.", "c:.") is None
    assert told("", "") is None


def test_latest_run_is_judged_when_none_is_given():
    assert told("a:. b:. c:A") is Verdict.NEW_FAILURE


STORIES = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["e", "f", "e/1", "e/2"]),
        st.text(".ABx?", min_size=1, max_size=3),
    ),
    max_size=12,
).map(
    lambda runs: " ".join(f"{revision}@{environment}:{outcomes}" for revision, environment, outcomes in runs)
)


@given(STORIES)
def test_flaky_is_said_only_where_one_cell_saw_both_outcomes(story):
    found = of(story)
    cells = {}
    for sample in samples(story):
        if sample.outcome is not Outcome.XFAILED:
            cells.setdefault((sample.revision, sample.environment), set()).add(sample.outcome)
    if found.verdict is Verdict.FLAKY:
        assert any(len(seen) == 2 for seen in cells.values())
    assert 0 <= found.low <= found.high <= 1
    assert len(found.evidence) + len(found.action) < 300


# --- arithmetic ---


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_interval_holds_the_rate(x, n):
    x, n = min(x, n), max(x, n)
    low, high = wilson(x, n)
    assert 0 <= low <= (x / n if n else 0) + 1e-12
    assert (x / n if n else 1) - 1e-12 <= high <= 1


def test_figures_are_those_of_the_definitions():
    assert [round(edge, 3) for edge in wilson(3, 40)] == [0.026, 0.199]
    assert [round(posterior_real(k), 2) for k in (0, 3, 5)] == [0.5, 0.89, 0.96]
    assert [clean_passes_needed(p) for p in (0.0, 1e-9, 0.01, 0.1, 0.9, 1.0)] == [300, 300, 299, 29, 5, 5]
    assert beta_rank(3, 40) == pytest.approx(3.17 / 41.52)


BASELINE = [1.0, 1.1, 0.9, 1.05, 0.95] * 5


@pytest.mark.parametrize(
    ("baseline", "recent", "slow"),
    [
        (BASELINE, [2.0, 2.1, 1.9], True),
        (BASELINE, [1.2, 2.1, 1.9], False),  # not three in a row
        (BASELINE[:19], [2.0, 2.1, 1.9], False),  # too little to compare with
        ([s / 100 for s in BASELINE], [0.02, 0.02, 0.02], False),  # 10 ms
        ([1.0, 3.0, 0.4, 2.5, 0.6] * 5, [2.0, 2.1, 1.9], False),  # it always jumps about
        ([0.0] * 30, [2.0, 2.1, 1.9], False),
    ],
)
def test_slower_means_beyond_noise_three_times(baseline, recent, slow):
    found = slower(baseline, recent)
    assert (found is not None) is slow
    if found:
        assert math.isclose(found.ratio, 2.0)


def test_noise_of_the_machine_is_the_median_ratio():
    assert noise([2.0, 4.0, 1.0, 9.0, math.nan], [1.0, 2.0, 1.0, math.nan, 1.0]) == 2.0
    assert noise([], []) == 1.0
