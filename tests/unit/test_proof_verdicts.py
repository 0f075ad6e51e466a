"""What runs on purpose make of a verdict: a test run alone is in another cell than one in its suite."""

import pytest

from pytest_recall.history.proof import Proof
from pytest_recall.history.trend import ALONE, SOME
from pytest_recall.history.verdict import Verdict, judge
from pytest_recall.model import Outcome, Sample, TestHistory

TestHistory.__test__ = False


def samples(outcomes, *, run, alone=False, revision="a", group="A"):
    return tuple(
        Sample(
            run=run,
            at=float(run[1:]),
            revision=revision,
            environment="e" + (ALONE if alone else ""),
            space="agent",
            outcome=Outcome.FAILED if letter == "F" else Outcome.PASSED,
            group=group if letter == "F" else "",
            attempt=number,
        )
        for number, letter in enumerate(outcomes)
    )


def told(suite, alone, **proof):
    """The judgement on run r1 of the *suite*, after reruns *alone* in r2."""
    now = samples(suite, run="r1")
    apart = samples(alone, run="r2", alone=True)
    history = TestHistory(id="t", first_seen=0.0, samples=(*now, *apart))
    return judge(history, now, proof=Proof(alone=apart, **proof))


@pytest.mark.parametrize("alone", [".", "..."])
def test_one_failure_in_the_suite_and_passes_alone_excuse_nobody(alone):
    found = told("F", alone)
    assert found.verdict is Verdict.SUSPECTED_FLAKY
    assert "verify=2" in found.action


def test_pass_in_the_same_order_proves_chance():
    again = samples(".", run="r3")
    now, apart = samples("F", run="r1"), samples("..", run="r2", alone=True)
    history = TestHistory(id="t", first_seen=0.0, samples=(*now, *apart, *again))
    assert judge(history, now).verdict is Verdict.FLAKY


def test_both_outcomes_alone_prove_chance():
    assert told("F", "F.").verdict is Verdict.FLAKY


def test_order_is_proven_by_the_history_alone():
    found = told("FF", "..")
    assert found.verdict is Verdict.ORDER_DEPENDENT
    assert found.evidence == "fails 2/2 in the suite, passes 2/2 alone"
    assert "verify=2" in found.action


def test_nobody_is_sent_to_look_for_what_was_just_looked_for_in_vain():
    found = told("FF", "..", searched=True)
    assert found.verdict is Verdict.ORDER_DEPENDENT
    assert "verify=" not in found.action
    assert "several together" in found.action
    assert len(found.action) < 200


def test_test_that_needs_another_one_before_it_is_told_as_such():
    found = told("..", "FF", polluter="test_sets_up", command="pytest a b")
    assert found.verdict is Verdict.ORDER_DEPENDENT
    assert found.evidence == (
        "passes 2/2 in the suite, fails 2/2 alone; passes after test_sets_up, which leaves state that it needs"
    )
    assert found.command == "pytest a b"


def test_order_that_was_proven_is_no_known_flake_on_the_next_revision():
    past = (*samples("FF", run="r1"), *samples("...", run="r2", alone=True))
    now = samples("F", run="r3", revision="b")
    history = TestHistory(id="t", first_seen=0.0, samples=past)
    assert judge(history, now).verdict is not Verdict.FLAKY


def test_base_that_fails_with_the_same_cause_was_there_before_and_with_another_says_nothing():
    before = samples("FFF", run="r3", revision="base")
    assert told("F", "FFF", base=before).verdict is Verdict.PRE_EXISTING
    other = samples("FFF", run="r3", revision="base", group="B")
    assert told("F", "FFF", base=other).verdict is Verdict.NOT_ENOUGH_EVIDENCE


def test_base_that_passes_and_reruns_that_stay_red_are_a_regression():
    found = told("F", "FFF", base=samples("...", run="r3", revision="base"))
    assert found.verdict is Verdict.REGRESSION
    assert found.evidence == "the base passes 3/3, now red 4/4, P(real) .99"


def test_base_is_named_and_what_lies_before_it_is_not_spoken_of():
    before = samples("FFF", run="r3", revision="base")
    only = told("F", "FFF", base=before, commit="1a2b3c4d5e6f")
    assert only.evidence == "also fails 3/3 at the base 1a2b3c4d5e"
    assert only.action == "Not from your uncommitted change; leave it or mend it apart."
    assert told("F", "FFF", base=before, whole=True).action.startswith("Not from your change;")


@pytest.mark.parametrize("base", ["FFF", "..."])
def test_pass_on_record_where_it_failed_on_the_way_to_the_base_is_a_contradiction_too(base):
    now, head = samples("F", run="r1"), samples(".", run="r0", revision="head")
    apart = samples("FFF", run="r2", alone=True)
    history = TestHistory(id="t", first_seen=0.0, samples=(*head, *now, *apart))
    proof = Proof(alone=apart, base=samples(base, run="r3", revision="fork"), failed=("head",))
    found = judge(history, now, proof=proof)
    assert found.verdict is Verdict.NEW_FAILURE
    assert "fails at the base when run apart, but passed there before" in found.evidence


def test_base_that_was_expected_to_fail_is_not_red():
    before = tuple(s._replace(outcome=Outcome.XFAILED) for s in samples("...", run="r3", revision="base"))
    found = told("F", "FFF", base=before)
    assert found.verdict is Verdict.REGRESSION
    assert found.evidence.startswith("the base xfails 3/3, now red 4/4")


@pytest.mark.parametrize(
    ("past", "said"), [(".", "It passed before the first of these"), ("", "before what is known here")]
)
def test_broken_test_is_not_said_to_be_older_than_a_change_that_nobody_knows(past, said):
    passed = samples(past, run="r0", revision="head")
    red = [samples("F", run=f"r{n}", revision=f"dirty{n}") for n in (1, 2, 3)]
    history = TestHistory(id="t", first_seen=0.0, samples=(*passed, *(s for one in red for s in one)))
    found = judge(history, red[-1])
    assert found.verdict is Verdict.BROKEN
    assert said in found.action
    assert "longer than this change" not in found.action


def contradicted(base, recorded, *, environment="e"):
    """The judgement on a reproduced failure, where the *base* was run on purpose and had been *recorded* before."""
    before = tuple(s._replace(environment=environment) for s in samples(recorded, run="r0", revision="base"))
    now, apart = samples("F", run="r1"), samples("FFF", run="r2", alone=True)
    history = TestHistory(id="t", first_seen=0.0, samples=(*before, *now, *apart))
    return judge(history, now, proof=Proof(alone=apart, base=samples(base, run="r3", revision="base")))


@pytest.mark.parametrize(("environment", "known"), [("e", "this"), ("other", "another")])
def test_base_that_passed_before_is_never_said_to_have_failed_before_the_change(environment, known):
    found = contradicted("FFF", ".", environment=environment)
    assert found.verdict is Verdict.NEW_FAILURE
    assert f"but passed there before in {known} environment" in found.evidence
    assert "files that git does not track" in found.action


def test_pass_on_these_very_sources_elsewhere_is_no_failure_of_the_base():
    elsewhere = samples(".", run="r0")[0]._replace(environment="other")
    now, apart = samples("F", run="r1"), samples("FFF", run="r2", alone=True)
    history = TestHistory(id="t", first_seen=0.0, samples=(elsewhere, *now, *apart))
    found = judge(history, now, proof=Proof(alone=apart, base=samples("FFF", run="r3", revision="base")))
    assert found.verdict is Verdict.NEW_FAILURE
    assert "but passed here before in another environment" in found.evidence


def test_base_that_failed_so_before_makes_no_regression_of_a_pass_in_a_tree_of_its_own():
    found = contradicted("...", "FF")
    assert found.verdict is not Verdict.REGRESSION
    assert "but failed there before in this environment" in found.evidence


def selected(suite, part, *, now="r1"):
    """The judgement on the run *now*, where the whole *suite* (r1) and a *part* of it (r2) ran on one revision."""
    whole = samples(suite, run="r1")
    some = tuple(s._replace(environment=f"e{SOME}1") for s in samples(part, run="r2"))
    history = TestHistory(id="t", first_seen=0.0, samples=(*whole, *some))
    return judge(history, whole if now == "r1" else some)


@pytest.mark.parametrize("now", ["r1", "r2"])
def test_other_tests_selected_are_other_company_and_no_proof_of_chance(now):
    assert selected("F", ".", now=now).verdict is Verdict.SUSPECTED_FLAKY
    assert selected("FF", "..", now=now).verdict is Verdict.ORDER_DEPENDENT
    assert selected("F.", "..").verdict is Verdict.FLAKY
    assert (
        selected("FF", ".").evidence
        == "2 red and 0 green in the suite, 0 red and 1 green with other tests selected"
    )


def test_test_alone_is_set_against_the_whole_suite_and_no_part_of_it():
    apart = samples("..", run="r3", alone=True)
    some = tuple(s._replace(environment=f"e{SOME}1") for s in samples("..", run="r2"))
    history = TestHistory(id="t", first_seen=0.0, samples=(*samples("FF", run="r1"), *some, *apart))
    assert judge(history, apart).verdict is Verdict.ORDER_DEPENDENT
