"""Lines of work: what is red in one work tree, on one branch, is not mended by what is green on another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_recall.history import lines
from pytest_recall.history.compare import comparable
from pytest_recall.history.fixes import advance, flip, transition
from pytest_recall.history.past import Past
from pytest_recall.history.trend import row
from pytest_recall.history.verdict import Judgement, Verdict, judge
from pytest_recall.model import (
    Environment,
    Finished,
    Outcome,
    Pipeline,
    Revision,
    Run,
    RunRequest,
    Sample,
    Status,
    Target,
    TestHistory,
)

TestHistory.__test__ = False


def a_run(where: str, revision: str = "x", *, n: int = 9, **changes) -> Run:
    """*where*: `tree/branch@commit`, a `+` at its end where it has edits; `ci/main@1`, or `ci` where nobody told more."""
    place, _, commit = where.removesuffix("+").partition("@")
    tree, _, branch = place.partition("/")
    run = Run(
        id=f"r{n:02}",
        started_at=float(n),
        duration_s=1.0,
        target=Target(root=f"/{tree}", python="python", source="PATH"),
        rootdir=f"/{tree}",
        request=RunRequest(),
        status=Status.PASSED,
        terminations=(Finished(exit_code=0),),
        revision=Revision(digest=revision, commit=commit, branch=branch, dirty=where.endswith("+")),
        environment=Environment(),
        space="ci" if tree == "ci" else "local",
        source="cli",
    )
    return replace(run, **changes)


def samples(story: str) -> list[Sample]:
    """*story*: `where:outcomes`, runs apart by spaces, `.` passed, a letter failed with that fingerprint."""
    found = []
    for n, one in enumerate(story.split()):
        where, _, outcomes = one.partition(":")
        run = a_run(where, f"d{n}" if where.endswith("+") else where.partition("@")[2], n=n)
        found += [
            Sample(
                run=run.id,
                at=run.started_at,
                revision=run.revision.digest,
                environment="e",
                space=run.space,
                outcome=Outcome.PASSED if letter == "." else Outcome.FAILED,
                group="" if letter == "." else letter,
                attempt=attempt,
                line=lines.of(run),
            )
            for attempt, letter in enumerate(outcomes)
        ]
    return found


def past(story: str) -> TestHistory:
    return TestHistory(id="t", first_seen=0.0, samples=tuple(samples(story)))


def of(story: str) -> Judgement:
    return judge(past(story))


def told(story: str) -> Verdict | None:
    return of(story).verdict


TREES = "a/main@1:. a/main@1+:A a/main@1+:A b/f@1+:. b/f@1+:."


def test_green_in_another_work_tree_mends_nothing_here():
    found = of(f"{TREES} a/main@1+:A")
    assert found.verdict is Verdict.BROKEN
    assert "red on 3 revisions" in found.evidence
    assert flip(past("a/main@1:. a/main@1+:A a/main@1+:A b/f@1+:."), ()) is None
    assert told("a/main@1:. a/main@1+:A a/main@1+:A b/f@1+:.") is None


def test_first_failure_in_another_work_tree_is_new_there():
    found = of(f"{TREES} b/f@1+:A")
    assert found.verdict is Verdict.NEW_FAILURE
    assert "passed 3/3 before" in found.evidence, "what ran committed elsewhere, and its own"


def test_green_on_another_branch_mends_nothing_on_this_one():
    story = "a/main@1:. a/f@2:A a/f@2:A a/main@1:. a/main@1:."
    assert flip(past("a/main@1:. a/f@2:A a/f@2:A a/main@1:."), ()) is None
    assert told(f"{story} a/f@2:A") is Verdict.NEW_FAILURE
    assert told(f"{story} a/f@3:.") is Verdict.FIXED


def test_green_in_ci_mends_nothing_here():
    for ci in ("ci/main@1", "ci@1", "ci"):
        assert told(f"a/main@1:. a/main@1+:A a/main@1+:A {ci}:. {ci}:. a/main@1+:A") is Verdict.BROKEN


def test_what_was_mended_on_a_branch_and_merged_recurs():
    mended = "a/main@1:. a/f@2:A a/f@2:A a/f@3:. a/f@3:."
    assert told(f"{mended} a/main@4:. a/main@4+:A") is Verdict.RECURRED
    assert told("a/main@1:A a/main@1+:A a/f@1+:. a/f@2:. a/main@3:. a/main@3+:A") is Verdict.RECURRED


def test_what_was_mended_on_a_branch_and_not_merged_goes_on():
    assert told("a/main@1:A a/main@1+:A a/f@1+:. a/f@2:. a/main@1+:A") is Verdict.BROKEN


def test_branch_begun_to_mend_makes_a_flip():
    found = flip(past("a/main@1:. a/main@1+:A a/main@1+:A a/f@1+:."), ())
    assert found
    assert len(found.red) == 2
    assert lines.goes_on(found.red[-1], found.green)


def test_commit_amended_on_its_branch_goes_on():
    assert told("a/f@2:. a/f@3:A a/f@3+:A a/f@4:.") is Verdict.FIXED


def test_every_commit_of_a_bisection_is_a_line_of_its_own():
    found = flip(past("a/main@9:. a/main@9+:A a/@5:."), ())
    assert found
    assert not lines.goes_on(found.red[-1], found.green)


def test_outside_git_a_folder_is_a_line():
    assert told("a:. a:A a:A".replace("a:A a:A", "a+:A a+:A") + " a+:.") is Verdict.FIXED


def test_samples_of_before_are_of_every_line_but_those_of_ci():
    old = [s._replace(line="") for s in samples("a/main@1:. a/main@1+:A a/main@1+:A")]
    now = samples("x:. x:. x:. a/main@1+:.")[3:]
    assert judge(TestHistory(id="t", first_seen=0.0, samples=tuple(old)), now).verdict is Verdict.FIXED
    ci = [s._replace(space="ci") for s in old]
    assert judge(TestHistory(id="t", first_seen=0.0, samples=tuple(ci)), now).verdict is None


def test_both_outcomes_on_one_revision_prove_a_flake_wherever_they_were():
    same = [s._replace(revision="r") for s in samples("a/main@1:. b/f@1:A")]
    assert judge(TestHistory(id="t", first_seen=0.0, samples=tuple(same))).verdict is Verdict.FLAKY


def test_fix_is_confirmed_on_its_own_line():
    story = "a/main@1:. a/main@1+:A a/main@1+:A a/main@1+:."
    made = transition(flip(past(story), ()), (), runs={})
    assert advance(made, past(f"{story} b/f@1+:.")).state == "candidate"
    assert advance(made, past(f"{story} b/f@1+:A a/main@2:.")).state == "confirmed"


def test_run_is_compared_with_one_of_its_own_line():
    known = [
        row(a_run(where, n=n))
        for n, where in enumerate(["a/main@1", "a/main@1+", "b/f@1+", "a/main@1+", "c/g@7+"])
    ]

    def chosen(where: str) -> str | None:
        found = comparable(a_run(where), known)
        return found and found.id

    assert chosen("a/main@1+") == "r03"
    assert chosen("b/f@1+") == "r02"
    assert chosen("d/new@1+") == "r00", "none had edits of its own there"


@pytest.mark.parametrize(
    ("where", "changes", "known"),
    [
        ("a/main@1", {}, True),
        ("a/@1", {}, True),
        ("a", {}, True),
        ("ci/@1", {}, False),
        ("ci/@1", {"ci": Pipeline(provider="CI", branch="main")}, True),
        ("a/@1", {"source": "import:junit"}, False),
    ],
)
def test_line_is_unknown_only_where_nobody_told_the_branch(where, changes, known):
    line = lines.of(a_run(where, **changes))
    assert bool(line) is known
    assert "main" not in line


def test_latest_is_that_of_the_line_or_else_of_all():
    *known, here = samples("a/main@1:. a/f@2:A b/f@2:. a/main@1+:.")
    assert lines.latest(reversed(known), here) == known[0]
    assert lines.latest(reversed(known[1:]), here) == known[2]
    assert lines.latest((), here) is None
    assert Past(None, [*known, here]).line == [known[0], here]


@pytest.mark.parametrize(
    ("where", "ci"),
    [("a/main@1", False), ("a/main@1+", False), ("a/@1", False), ("a", False), ("ci/main@1", True)],
)
def test_line_that_is_asked_from_is_that_of_what_would_be_run_there(where, ci):
    run = a_run(where)
    begins = lines.now(["/a", "/"], run.revision, ci=ci)
    assert lines.of(run).startswith(begins)
    assert not [
        other for other in ("b/main@1", "a/other@1", "a/@2") if lines.of(a_run(other)).startswith(begins)
    ]


def test_line_of_ci_that_told_no_branch_is_every_line_of_ci():
    of_ci, mine = samples("ci/main@1:A a/main@1:.")
    begins = lines.now(["/a"], Revision(digest="", commit="1"), ci=True)
    assert lines.latest_of([mine, of_ci], begins, ci=True) == of_ci
    named = lines.now(["/a"], Revision(digest="", commit="1"), ci=True, branch="main")
    assert lines.latest_of([mine, of_ci], named, ci=True) == of_ci
