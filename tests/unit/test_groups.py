"""One cause is one group, however many tests it broke, and nothing that went wrong is left out."""

from __future__ import annotations

from dataclasses import replace

from pytest_recall.history.fingerprint import fingerprint
from pytest_recall.history.groups import alike, group
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
    Status,
    Target,
    Test,
    TimedOut,
)

Test.__test__ = False
FINISHED = (Finished(exit_code=1),)


def failure(
    test_id, *, exception="ValueError", message="boom", path="shop.py", source="raise x", phase="call"
) -> Failure:
    frames = (Frame(path=path, line=1, source=source, project=True),)
    prints = fingerprint(exception=exception, message=message, frames=frames, root="", test_id=test_id)
    return Failure(phase=phase, exception=exception, message=message, fingerprint=prints, frames=frames)


def a_test(test_id, *failures, outcome=Outcome.FAILED) -> Test:
    phase = failures[0].phase if failures else "call"
    return Test(id=test_id, attempts=(Attempt(outcome=outcome, phase=phase, failures=failures),))


def grouped(*tests, collectors=(), culprits=(), terminations=FINISHED):
    run = Run(
        id="r1",
        started_at=1.0,
        duration_s=1.0,
        target=Target(root="/p", python="python", source="PATH"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED,
        terminations=terminations,
        revision=Revision(digest="rev"),
        environment=Environment(),
        tests=tests,
        collectors=collectors,
        culprits=culprits,
    )
    return group(run)


def groups(*tests, **how):
    return [(found.phase, found.outcome, found.tests) for found in grouped(*tests, **how)]


def test_tests_broken_by_one_line_are_one_group():
    tests = [a_test(f"t.py::t{n}", failure(f"t.py::t{n}")) for n in range(3)]
    other = a_test("t.py::o", failure("t.py::o", message="other"))
    assert groups(other, *tests) == [
        ("call", Outcome.FAILED, ("t.py::t0", "t.py::t1", "t.py::t2")),
        ("call", Outcome.FAILED, ("t.py::o",)),
    ]


def test_one_broken_fixture_under_two_hundred_tests_is_one_group():
    ids = [f"t.py::t{n}" for n in range(200)]
    broken = [failure(i, phase="setup", path="conftest.py", source="connect()") for i in ids]
    tests = [a_test(i, f, outcome=Outcome.ERROR) for i, f in zip(ids, broken, strict=True)]
    assert groups(*tests) == [("setup", Outcome.ERROR, tuple(ids))]


def test_one_missing_fixture_is_one_group_though_each_test_asks_on_its_own_line():
    ids = [f"t{n}.py::t" for n in range(5)]
    tests = [
        a_test(
            i,
            failure(
                i,
                phase="setup",
                path=i[:5],
                source=f"def t{i}(db):",
                message="fixture 'db' not found\navailable: …",
            ),
            outcome=Outcome.ERROR,
        )
        for i in ids
    ]
    assert groups(*tests) == [("setup", Outcome.ERROR, tuple(ids))]


def test_one_missing_module_is_one_group_and_comes_before_failed_tests():
    ids = [f"t{n}.py" for n in range(3)]
    collectors = [
        Collector(
            id=i,
            outcome=Outcome.ERROR,
            failure=failure(
                i,
                phase="collect",
                exception="ModuleNotFoundError",
                path=i,
                source=f"from shop import x{i}",
                message="No module named 'shop'",
            ),
        )
        for i in ids
    ]
    many = [a_test(f"a.py::t{n}", failure(f"a.py::t{n}")) for n in range(9)]
    found = groups(*many, collectors=tuple(collectors))
    assert found[0] == ("collect", Outcome.ERROR, tuple(ids))
    assert len(found) == 2


def test_two_errors_of_one_type_in_two_files_stay_apart():
    two = [
        Collector(
            id=i,
            outcome=Outcome.ERROR,
            failure=failure(i, phase="collect", exception="NameError", path=i, source=f"x = {i}"),
        )
        for i in ("a.py", "b.py")
    ]
    assert len(groups(collectors=tuple(two))) == 2


def test_hanging_test_comes_first_and_needs_no_exception():
    tests = [a_test("a", failure("a")), a_test("b", failure("b")), a_test("h", outcome=Outcome.TIMED_OUT)]
    assert groups(*tests)[0] == ("call", Outcome.TIMED_OUT, ("h",))


def test_two_crashed_tests_are_two_groups():
    assert len(groups(a_test("a", outcome=Outcome.CRASHED), a_test("b", outcome=Outcome.CRASHED))) == 2


def test_culprit_that_never_became_a_test_is_a_group():
    ends = (Crashed(exit_code=None, signal="SIGSEGV"), Finished(exit_code=0))
    assert groups(culprits=("a",), terminations=ends) == [("call", Outcome.CRASHED, ("a",))]
    assert groups(culprits=("a",), terminations=(TimedOut(limit_s=1),)) == [
        ("call", Outcome.TIMED_OUT, ("a",))
    ]


def test_failed_test_without_details_is_not_lost():
    assert groups(a_test("a"), a_test("b")) == [("call", Outcome.FAILED, ("a", "b"))]


def test_test_with_two_causes_is_in_both_groups_once():
    body, teardown = failure("a"), failure("a", phase="teardown", path="conftest.py", source="close()")
    assert groups(a_test("a", body, body, teardown)) == [
        ("call", Outcome.FAILED, ("a",)),
        ("teardown", Outcome.FAILED, ("a",)),
    ]


def test_green_run_has_no_groups():
    assert groups(a_test("a", outcome=Outcome.PASSED), a_test("s", outcome=Outcome.SKIPPED)) == []


def test_one_exception_that_surfaces_in_many_places_is_one_cause():
    said = "SystemError: soft_unicode returned a result with an error set"
    tests = [
        a_test(
            f"t.py::test_{n}",
            failure(f"t.py::test_{n}", exception="SystemError", message=said, source=f"use_{n}()"),
        )
        for n in range(21)
    ]
    ((_, _, found),) = groups(*tests)
    assert len(found) == 21
    (one,) = grouped(*tests)
    prints = {failed.fingerprint.group for test in tests for failed in test.failures}
    assert {one.fingerprint, *one.also} == prints
    assert len(one.also) == 20


def test_assertions_and_bare_words_at_different_places_stay_apart():
    for exception, message in (("AssertionError", "assert 1 == 2 and more"), ("KeyError", "KeyError: 'id'")):
        one, other = (
            a_test(name, failure(name, exception=exception, message=message, source=f"{name}()"))
            for name in ("a", "b")
        )
        assert len(groups(one, other)) == 2


def test_the_parameters_of_one_test_are_one_cause_with_whatever_else_shares_it():
    same = a_test(
        "t.py::test_b", failure("t.py::test_b", exception="AssertionError", message="assert 0 == 2")
    )
    cases = [
        a_test(
            f"t.py::test_a[{n}]",
            failure(f"t.py::test_a[{n}]", exception="AssertionError", message=f"assert 0 == {n}"),
        )
        for n in (2, 4, 6)
    ]
    ((_, _, found),) = groups(*cases, same)
    assert found == ("t.py::test_a[2]", "t.py::test_a[4]", "t.py::test_a[6]", "t.py::test_b")


def test_memory_tells_causes_that_say_the_same_in_one_run_together():
    base = FailureHistory(
        fingerprint="fp1:a", exception="SystemError", message="soft_unicode returned an error\nat a",
        path="a.py", source="a()", tests=("t::a",), first_seen=1, last_seen=2, first_run="r1", last_run="r2",
    )  # fmt: skip
    other = replace(
        base, fingerprint="fp1:b", message="soft_unicode returned an error\nat b", tests=("t::b",)
    )
    mended = replace(base, fingerprint="fp1:c", last_run="r1")
    assertion = replace(base, fingerprint="fp1:d", exception="AssertionError")
    bare = replace(base, fingerprint="fp1:e", exception="KeyError", message="'id'")
    known = [base, mended, assertion, other, replace(assertion, fingerprint="fp1:f"), bare,
             replace(bare, fingerprint="fp1:g")]  # fmt: skip
    assert [[one.fingerprint[-1] for one in together] for together in alike(known)] == [
        ["a", "b"], ["c"], ["d"], ["f"], ["e"], ["g"],
    ]  # fmt: skip
