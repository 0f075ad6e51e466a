"""From red to green: what counts as a fix, how near the change was, and what proves it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_recall.history.fixes import Flip, advance, confirmed, flip, scoped, transition, tried, undone
from pytest_recall.history.patch import read_diff
from pytest_recall.model import (
    Outcome,
    Revision,
    RunRow,
    Sample,
    Status,
    TestHistory,
    Transition,
)

TestHistory.__test__ = False
TEST = "tests/test_cart.py::test_total"


def samples(story: str, start: int = 0) -> list[Sample]:
    """*story*: runs apart by spaces, each `revision:outcomes`; `.` passed, a letter failed with that fingerprint."""
    return [
        Sample(
            run=f"r{n:02}",
            at=float(n),
            revision=one.partition(":")[0],
            environment="e",
            space="local",
            outcome=Outcome.PASSED if letter == "." else Outcome.FAILED,
            group="" if letter == "." else letter,
            attempt=attempt,
        )
        for n, one in enumerate(story.split(), start)
        for attempt, letter in enumerate(one.partition(":")[2])
    ]


def past(story: str) -> TestHistory:
    return TestHistory(id=TEST, first_seen=0.0, samples=tuple(samples(story)))


def flipped(story: str) -> Flip | None:
    return flip(past(story), ())


def patch(*paths: str) -> list:
    return read_diff(
        "".join(f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-old\n+new {path}\n" for path in paths)
    )


def a_row(run: str, revision: str, intent: str) -> RunRow:
    return RunRow(
        id=run,
        started_at=0.0,
        duration_s=1.0,
        status=Status.FAILED,
        counts={},
        revision=Revision(digest=revision, commit=f"c-{revision}"),
        environment="e",
        scope="s",
        space="local",
        source="mcp",
        intent=intent,
    )


def made(story="a:. b:A b:A c:.", *, diff=None, **known) -> Transition:
    found = flipped(story)
    assert found
    return transition(
        found, patch("src/cart.py") if diff is None else diff, runs={}, reached=["src/cart.py"], **known
    )


# --- what a flip is ---


def test_first_pass_after_failures_is_a_flip():
    found = flipped("a:. b:A c:AA d:.")
    assert found
    assert (found.test, [s.revision for s in found.red], found.green.revision) == (TEST, ["b", "c", "c"], "d")


def test_history_without_the_run_gives_the_same_flip():
    assert flip(past("a:. b:A"), samples("c:.", start=2)) == flipped("a:. b:A c:.")


@pytest.mark.parametrize(
    "story",
    [
        "a:. b:.",  # never failed
        "a:. b:A",  # still fails
        "a:. b:A c:. d:.",  # flipped before
        "a:. b:A b:.",  # on one revision: a flake
        "a:A. b:A c:.",  # flaky, and not cleared
        "a:. :A c:.",  # nobody knows what ran
        "a:. b:A :.",
    ],
)
def test_anything_else_is_none(story):
    assert flipped(story) is None


# --- what it tells ---


def test_transition_tells_revisions_attempts_and_what_was_meant():
    found = flipped("a:. b:A c:A d:.")
    assert found
    rows = {"r01": a_row("r01", "b", "add rebates"), "r03": a_row("r03", "d", "round half up")}
    told = transition(found, patch("src/cart.py"), runs=rows)
    assert told.red == Revision(digest="c")
    assert told.green == Revision(digest="d", commit="c-d")
    assert (told.red_run, told.green_run, told.failed, told.fingerprint) == ("r02", "r03", 2, "A")
    assert told.intents == ("add rebates", "round half up")
    assert "+new src/cart.py" in told.changes[0].hunks


def test_changes_are_ordered_by_their_nearness_to_the_test():
    diff = patch(
        "README.md",
        "uv.lock",
        "tests/test_cart.py",
        "src/unused.py",
        "lib/far.py",
        "src/money.py",
        "src/cart.py",
    )
    changes = scoped(diff, TEST, executed=["src/cart.py"], reached=["src/money.py", "src/cart.py"])
    assert [(change.scope, change.path) for change in changes] == [
        ("executed", "src/cart.py"),
        ("imported", "src/money.py"),
        ("package", "src/unused.py"),
        ("test", "tests/test_cart.py"),
        ("config", "uv.lock"),
        ("other", "README.md"),
        ("other", "lib/far.py"),
    ]


# --- what it proves ---


def test_clean_passes_confirm_a_scoped_change():
    first = made()
    assert (first.state, first.grade) == ("candidate", "C")
    assert advance(first, past("a:. b:A b:A c:.")) == first
    later = advance(first, past("a:. b:A b:A c:. c:."))
    assert (later.state, later.grade) == ("confirmed", "B")
    assert confirmed([first, later]).keys() == {"A"}


def test_change_that_the_test_does_not_use_stays_a_correlation():
    later = advance(made(diff=patch("README.md")), past("a:. b:A b:A c:. c:. d:."))
    assert (later.state, later.grade) == ("confirmed", "C")


def test_passes_confirm_a_fix_whose_moment_the_index_tells_less_exactly():
    assert advance(replace(made(), at=3.0004), past("a:. b:A b:A c:. c:.")).state == "confirmed"


def test_weakened_test_is_never_a_fix():
    diff = read_diff(
        "--- a/tests/test_cart.py\n+++ b/tests/test_cart.py\n@@ -1 +0,0 @@\n-    assert total() == 3\n"
    )
    weaker = made(diff=diff)
    assert weaker.weakened
    assert advance(weaker, past("a:. b:A b:A c:. c:. c:.")).state == "candidate"
    assert tried(weaker, red_without_it=True).grade == "C"
    assert confirmed([advance(weaker, past("a:. b:A b:A c:. c:. c:."))]) == {}


def test_undoing_the_change_proves_or_disproves_it():
    assert (tried(made(), red_without_it=True).grade, tried(made(), red_without_it=True).state) == (
        "A",
        "confirmed",
    )
    assert tried(replace(made(), grade="B"), red_without_it=False).grade == "C"
    proven = advance(tried(made(), red_without_it=True), past("a:. b:A b:A c:. c:."))
    assert proven.grade == "A"


def test_change_of_the_test_alone_is_no_fix_that_can_come_back():
    mended, adapted = (
        advance(made(diff=patch(*paths)), past("a:. b:A b:A c:. c:."))
        for paths in (["src/cart.py", "tests/test_cart.py"], ["tests/test_cart.py"])
    )
    assert (mended.state, adapted.state) == ("confirmed", "confirmed")
    assert confirmed([mended]).keys() == {"A"}
    assert confirmed([adapted]) == {}


@pytest.mark.parametrize("what", ["old mode 100644\nnew mode 100755\n", "Binary files a/a and b/a differ\n"])
def test_change_that_is_no_text_is_not_undone_and_so_not_disproved(what):
    fix = made()
    assert undone(fix) == ["src/cart.py"]
    other = replace(fix.changes[0], path="src/tool.py", hunks=what)
    assert undone(replace(fix, changes=(*fix.changes, other))) == []


def test_old_sources_failing_as_before_is_reverted():
    assert advance(made(), past("a:. b:A b:A c:. c:. b:A")).state == "reverted"


def test_later_transition_of_the_same_failure_supersedes():
    first, second = made(), replace(made(), at=9.0, green_run="r09")
    assert advance(first, past("a:. b:A b:A c:. c:."), [first, second]).state == "superseded"
    assert advance(second, past("a:. b:A b:A c:. c:."), [first, second]).state != "superseded"


def test_proof_that_it_flakes_takes_the_fix_away():
    assert advance(made(), past("a:. b:A b:A c:. c:. d:A.")).state == "superseded"
