"""The tests of a run in columns: nothing that was told is lost, and a plain one costs only its numbers."""

from __future__ import annotations

import tracemalloc
from array import array
from math import isnan, nan

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall import suite
from pytest_recall.history.durations import NONE, Seconds, beside
from pytest_recall.jobs import Job, Jobs
from pytest_recall.model import Attempt, Cost, Outcome
from pytest_recall.model import Test as Ran
from pytest_recall.running.roll import Roll

SECONDS = st.floats(allow_nan=False)
ATTEMPT = st.builds(
    Attempt,
    outcome=st.sampled_from(Outcome),
    setup_s=SECONDS,
    call_s=SECONDS,
    teardown_s=SECONDS,
    worker=st.sampled_from(["", "gw0", "gw1"]),
    order=st.integers(-1, 2**40),
    repetition=st.integers(0, 1),
    reason=st.sampled_from(["", "why"]),
    costs=st.sampled_from([(), (Cost(phase="call", cpu_s=1.0),)]),
)
ATTEMPTS = st.lists(ATTEMPT, max_size=2).map(tuple)
NAMES = st.text("abc", min_size=1, max_size=2)


@given(st.dictionaries(NAMES, ATTEMPTS))
def test_tests_come_out_of_their_columns_as_they_went_in(told):
    tests = tuple(Ran(id=name, attempts=attempts) for name, attempts in told.items())
    packed = suite.Tests.of(tests)
    assert tuple(packed) == tests
    assert packed == tests
    assert packed[1:] == tests[1:]
    assert [packed[at] for at in range(-len(tests), 0)] == list(tests)
    assert {one.id for one in packed.others} >= {t.id for t in tests if t.attempts and t.outcome.bad}
    assert list(packed.among({"a", "no such"})) == [test for test in tests if test.id == "a"]
    whole = [test for test in tests if test.attempts]
    expected = [(test.id, pytest.approx(test.attempts[-1].duration_s, nan_ok=True)) for test in whole]
    assert list(suite.Tests.of(whole).durations()) == expected


@given(st.lists(st.tuples(NAMES, st.sampled_from(["expect", "came", "record", "passed"]), ATTEMPT)))
def test_roll_knows_who_is_missing_and_all_that_came_of_the_others(steps):
    roll, waiting, told = Roll(), {}, {}
    for name, step, attempt in steps:
        if step == "record":
            told[name] = (*told.get(name, ()), attempt)
            roll.record(name, (*roll.get(name, ()), attempt))
        elif step == "passed":
            seconds = (attempt.setup_s, attempt.call_s, attempt.teardown_s)
            kept = roll.passed(name, seconds, attempt.order, attempt.worker)
            plain = Attempt(
                outcome=Outcome.PASSED,
                setup_s=attempt.setup_s,
                call_s=attempt.call_s,
                teardown_s=attempt.teardown_s,
                worker=attempt.worker,
                order=attempt.order,
            )
            assert kept == (name not in told and suite.Plain().add((plain,)))
            if kept:
                told[name] = (plain,)
                waiting[name] = max(waiting.get(name, 0) - 1, 0)
        elif step == "expect":
            waiting[name] = waiting.get(name, 0) + 1
            roll.expect(name)
        else:
            waiting[name] = max(waiting.get(name, 0) - 1, 0)
            roll.came(name)
    missing = {name for name, times in waiting.items() if times}
    assert (set(roll.missing()), roll.left) == (missing, len(missing))
    assert all(roll.expects(name) is (name in missing) for name in "abc")
    assert dict(roll) == told
    assert {test.id: test.attempts for test in roll.tests()} == told
    assert list(roll.tests().told) == sorted(roll.tests().told)
    roll.dismiss()
    assert (roll.left, roll.missing()) == (0, [])


def test_plain_test_takes_its_id_and_some_numbers():
    tracemalloc.start()
    try:
        roll = Roll()
        for at in range(20_000):
            name = f"t.py::test_{at}"
            roll.expect(name)
            roll.record(name, (Attempt(outcome=Outcome.PASSED, call_s=0.001, order=at),))
            roll.came(name)
        tests = roll.tests()
        del roll
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 20_000 * 130
    assert tests[-1].id == "t.py::test_19999"


def test_durations_of_runs_stand_side_by_side_whatever_tests_each_had():
    same = ["a", "b"]
    one, other = Seconds(same, array("d", [1.0, nan])), Seconds(list(same), array("d", [2.0, 3.0]))
    assert beside([one, other]) == (same, [one.column, other.column])
    assert dict(one) == {"a": 1.0}
    assert (len(one), one.get("b"), dict(NONE)) == (1, None, {})

    ids, (first, second) = beside([one, Seconds(["c", "a"], array("d", [4.0, 5.0]))])
    assert ids == ["a", "b", "c"]
    assert (first[0], list(second[::2]), isnan(second[1])) == (1.0, [5.0, 4.0], True)


def test_of_two_tests_with_one_name_now_the_one_that_passed_is_told():
    run = Seconds(["old", "new", "gone", "b"], array("d", [1.0, nan, 2.0, 3.0]))
    names = {"old": "new", "gone": ""}
    now = run.renamed(lambda test: names.get(test, test))
    assert (dict(now), list(now.ids)) == ({"new": 1.0, "b": 3.0}, ["new", "b"])
    _, (first, second) = beside([now, Seconds(["b", "new"], array("d", [4.0, 5.0]))])
    assert (list(first), list(second)) == ([1.0, 3.0], [5.0, 4.0])


def test_large_results_are_let_go_sooner_but_the_newest_is_kept():
    async def work(job: Job[int]) -> int:
        return int(job.id)

    async def kept() -> list[str]:
        async with anyio.create_task_group() as tasks:
            jobs = Jobs[int](tasks, at_once=1, weigh=lambda result: result, most=10)
            for weight in ("3", "4", "5", "50", "1"):
                job, _ = jobs.start(weight, weight, work)
                await job.done.wait()
            return [name for name in ("3", "4", "5", "50", "1") if jobs.get(name)]

    assert anyio.run(kept) == ["50", "1"]
