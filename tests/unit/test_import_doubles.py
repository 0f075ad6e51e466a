"""A report is a double of a session where nothing but that session can have told it."""

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_recall.imports.doubles import doubles
from pytest_recall.imports.report import Origin, Report, decided, run
from pytest_recall.model import Attempt, Outcome, Run

AT = 1.7e9
MANY = {f"tests/test_a.py::TestB::test_c[x::{n}]": 0.0004 + n / 100 for n in range(3)}
QUICK = dict.fromkeys(MANY, 0.0004)


def told(format_: str, tests: dict[str, float], *, began: float = AT, phases: bool = False, **rest) -> Report:
    attempts = {
        test: [Attempt(outcome=Outcome.PASSED, setup_s=0.02 if phases else 0.0, call_s=took)]
        for test, took in tests.items()
    }
    return Report(format=format_, tests=decided(attempts), started_at=began, duration_s=5.0, **rest)


def made(report: Report, content: bytes) -> tuple[Run, Report]:
    return run(report, Origin(root=Path("/nowhere"), at=AT, now=AT + 1e6), content), report


SESSION, _ = made(told("plugin", MANY), b"session")


def is_double(report: Report, session: Run = SESSION) -> bool:
    pair = made(report, b"report")
    return doubles([pair], [session]) == {pair[0].id: session.id}


@pytest.mark.parametrize(
    ("began", "zoned", "double"),
    [
        (AT, True, True),
        (AT + 6.9, True, True),
        (AT - 3, True, False),
        (AT + 8, True, False),
        (AT + 2 * 3_600 + 1, True, False),
        (AT + 2 * 3_600 + 1, False, True),  # what a clock showed two zones away
        (AT - 5.75 * 3_600 + 1, False, True),
        (AT + 2 * 3_600 + 100, False, False),
        (AT + 50 * 3_600, False, False),
        (0.0, True, True),
    ],
)
def test_it_began_while_the_session_was_going_on(began, zoned, double):
    assert is_double(told("junit", MANY, began=began, zoned=zoned)) is double


def test_durations_are_those_of_the_whole_test_or_of_its_call():
    session, _ = made(told("plugin", MANY, phases=True), b"session")
    assert is_double(told("junit", {test: took + 0.02 for test, took in MANY.items()}), session)
    assert is_double(told("junit", {test: round(took, 3) for test, took in MANY.items()}), session)
    assert not is_double(told("junit", {test: took + 0.01 for test, took in MANY.items()}), session)


def test_quick_tests_without_a_time_may_be_of_any_session():
    session, _ = made(told("plugin", QUICK), b"session")
    assert is_double(told("junit", QUICK), session)
    assert not is_double(told("junit", QUICK, began=0.0), session)


def test_path_that_was_guessed_and_an_xpass_that_was_not_told_make_no_difference():
    guessed = {
        test.replace("tests/test_a.py::TestB", "tests/test_a/TestB.py"): took for test, took in MANY.items()
    }
    assert is_double(told("junit", guessed))
    first = SESSION.tests[0]
    passing = replace(first, attempts=(replace(first.attempts[0], outcome=Outcome.XPASSED),))
    assert is_double(told("junit", MANY), replace(SESSION, tests=(passing, *list(SESSION.tests)[1:])))


def test_nothing_is_a_double_that_two_sessions_may_have_told_or_that_has_a_rival():
    first, second = made(told("junit", MANY), b"1"), made(told("junit", MANY), b"2")
    twin = replace(SESSION, id="01a2220e-ea05-7ba2-9bee-d158a61ebc87")
    assert doubles([first], [SESSION, twin]) == {}
    assert doubles([first, second], [SESSION]) == {}
    other = made(told("ctrf", MANY), b"3")
    assert doubles([first, first, other], [SESSION, SESSION]) == {
        first[0].id: SESSION.id,
        other[0].id: SESSION.id,
    }


def test_report_without_tests_is_no_double():
    session, _ = made(told("plugin", {}), b"session")
    assert not is_double(told("junit", {}), session)
