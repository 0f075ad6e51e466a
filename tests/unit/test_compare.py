"""Two runs side by side: what differs, and which earlier run may stand beside a new one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_recall.history.compare import comparable, compare
from pytest_recall.history.trend import row
from pytest_recall.model import (
    Attempt,
    Collector,
    Environment,
    Failure,
    Fingerprint,
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
SHORT = {
    "p": Outcome.PASSED,
    "f": Outcome.FAILED,
    "e": Outcome.ERROR,
    "s": Outcome.SKIPPED,
    "x": Outcome.XFAILED,
    "n": Outcome.NOT_RUN,
}


def a_run(outcomes="", **changes) -> Run:
    """*outcomes* as `a:p b:f`."""
    pairs = [pair.split(":") for pair in outcomes.split()]
    run = Run(
        id="r1",
        started_at=1.0,
        duration_s=1.0,
        target=Target(root="/p", python="python", source="PATH"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED,
        terminations=(Finished(exit_code=1),),
        revision=Revision(digest="rev"),
        environment=Environment(),
        collected=len(pairs),
        tests=tuple(Test(id=name, attempts=(Attempt(outcome=SHORT[short]),)) for name, short in pairs),
    )
    return replace(run, **changes)


def failed_module(name: str) -> tuple[Collector, ...]:
    return (Collector(id=name, outcome=Outcome.ERROR),)


def shown(before: Run, after: Run) -> dict[str, object]:
    found = compare(before, after)
    fields = ("newly_failing", "newly_passing", "still_failing", "silenced", "appeared", "vanished")
    return {name: list(getattr(found, name)) for name in fields if getattr(found, name)}


def test_tests_are_told_apart_by_what_became_of_them():
    before = a_run("a:p b:f c:f d:p old:p e:e")
    after = a_run("a:f b:p c:e d:p new:p e:p")
    assert shown(before, after) == {
        "newly_failing": ["a"],
        "newly_passing": ["b", "e"],
        "still_failing": ["c"],
        "appeared": ["new"],
        "vanished": ["old"],
    }
    assert (compare(before, after).collected_before, compare(before, after).collected_after) == (6, 6)


def test_skipping_a_failing_test_is_no_fix():
    assert shown(a_run("a:f b:f"), a_run("a:s b:x")) == {"silenced": ["a", "b"]}


def test_deleting_a_failing_test_is_no_fix():
    assert shown(a_run("a:f b:p"), a_run("c:p")) == {
        "silenced": ["a"],
        "appeared": ["c"],
        "vanished": ["a", "b"],
    }


def test_report_that_lacks_a_failing_test_has_silenced_nobody():
    after = a_run("c:p b:s", source="import:junit")
    assert shown(a_run("a:f b:f"), after) == {"silenced": ["b"], "appeared": ["c"], "vanished": ["a"]}


def test_new_test_that_fails_is_newly_failing():
    assert shown(a_run(""), a_run("a:f")) == {"newly_failing": ["a"], "appeared": ["a"]}


def test_tests_that_a_run_never_got_to_are_in_no_list():
    stopped = a_run("a:p", not_run=("b", "c", "d"))
    assert shown(a_run("a:p b:p c:f"), stopped) == {}
    assert shown(stopped, a_run("a:p b:p c:f d:n")) == {}


def test_tests_of_a_module_that_no_longer_imports_are_not_vanished():
    tests = tuple(
        Test(id=i, attempts=(Attempt(outcome=Outcome.PASSED),)) for i in ("pkg/a.py::C::t", "pkg/b.py::t")
    )
    before = a_run(tests=tests)
    after = replace(before, tests=tests[1:], collectors=failed_module("pkg/a.py"))
    assert shown(before, after) == {"newly_failing": ["pkg/a.py"]}
    assert shown(after, before) == {"newly_passing": ["pkg/a.py"]}


def test_test_that_never_finished_is_no_failure_and_no_pass():
    assert shown(a_run("a:p b:f"), a_run("a:n b:n")) == {}


# --- which run to compare with ---


def rows(*changes) -> list:
    return [
        row(a_run(**{"id": f"r{n}", "started_at": float(n), **change})) for n, change in enumerate(changes)
    ]


def chosen(now, *changes) -> str | None:
    found = comparable(a_run(id="s", started_at=50.0, **now), rows(*changes))
    return found and found.id


def test_last_earlier_run_is_compared_with():
    assert chosen({}, {}, {}, {"id": "t"}) == "r1"


def test_run_whose_clock_was_ahead_is_an_earlier_one_all_the_same():
    assert chosen({}, {}, {}, {"started_at": 90.0}) == "r2"


def test_run_is_never_compared_with_itself():
    run = a_run()
    assert comparable(run, [row(run)]) is None


@pytest.mark.parametrize(
    "unfit",
    [
        {"status": Status.CANCELLED},
        {"request": RunRequest(keyword="k")},
        {"request": RunRequest(tests=("a",))},
    ],
)
def test_suspect_or_differently_selected_runs_are_passed_over(unfit):
    assert chosen({}, {}, unfit) == "r0"
    assert chosen({}, unfit) is None


def test_run_that_one_cause_broke_is_compared_with():
    frames = (Frame(path="shop.py", line=7, source="raise Boom", project=True),)
    prints = Fingerprint(strict="fp1:a", group="fp1:b", loose="fp1:c")
    boom = Failure(phase="call", exception="Boom", message="x", frames=frames, fingerprint=prints)
    tests = tuple(
        Test(id=f"t{n}", attempts=(Attempt(outcome=Outcome.FAILED, failures=(boom,)),)) for n in range(12)
    )
    assert rows({"tests": tests})[0].suspect
    assert chosen({}, {}, {"tests": tests}) == "r1"


def test_same_space_then_same_environment_are_preferred():
    other = {"environment": Environment(python="3.13")}
    assert chosen({}, {}, {"space": "ci"}) == "r0"
    assert chosen({}, {}, other) == "r0"
    assert chosen({}, {"space": "ci"}, other) == "r1"


def test_another_order_seed_is_the_same_environment():
    now = {"environment": Environment(seed="3")}
    assert (
        chosen(
            now, {"environment": Environment(seed="1")}, {"environment": Environment(python="3", seed="3")}
        )
        == "r0"
    )
