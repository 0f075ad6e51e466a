"""An answer costs its reader little, however many tests fail and whatever they print."""

import json
from dataclasses import replace

import pytest

from pytest_recall import model
from pytest_recall.answers import run as ran
from pytest_recall.answers.text import at_a_shell, clean, head, middle, step, tail, unnamed
from pytest_recall.history import compare, groups, verdict
from pytest_recall.history.fingerprint import fingerprint
from pytest_recall.meaning import Explained, Report
from pytest_recall.model import (
    Attempt,
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
    TimedOut,
)

ROOT = "/home/someone/projects/quite-a-long-name-for-a-project"


def failure(number: int, message: str = "") -> Failure:
    frames = tuple(
        Frame(
            path=f"src/pkg/mod_{number}.py",
            line=n,
            function=f"step_{n}",
            source=f"step_{n + 1}(order)",
            project=True,
        )
        for n in range(1, 9)
    )
    message = message or f"KeyError: 'missing_{number}'\n" + "E   and a long explanation of it " * 40
    return Failure(
        phase="call",
        exception="KeyError",
        message=message,
        frames=frames,
        captured=(("Captured stdout call", "printed\n" * 200),),
        fingerprint=fingerprint(
            exception="KeyError", message=message, frames=frames, root=ROOT, test_id=f"t{number}"
        ),
    )


def run_of(tests: list[model.Test], status: Status = Status.FAILED, **more) -> Run:
    return Run(
        id="01968f3e-1c00-7abc-8def-0123456789ab",
        started_at=1_760_000_000.0,
        duration_s=12.345,
        target=Target(root=ROOT, python=f"{ROOT}/.venv/bin/python", source=".venv"),
        rootdir=ROOT,
        request=RunRequest(),
        status=status,
        terminations=more.pop("terminations", (Finished(exit_code=1),)),
        revision=Revision(digest="d" * 32, commit="c" * 40, dirty=True),
        environment=Environment(pytest="9.2.0"),
        collected=len(tests),
        tests=tuple(tests),
        **more,
    )


def report_of(run: Run) -> Report:
    causes = groups.group(run)
    judgements = verdict.judge_groups(causes, {}, run)
    explained = [
        Explained(group=cause, judgement=judgement, seen=None)
        for cause, judgement in zip(causes, judgements, strict=True)
    ]
    return Report(run=run, groups=tuple(explained))


def failed(number: int, message: str = "") -> model.Test:
    attempt = Attempt(outcome=Outcome.FAILED, failures=(failure(number, message),))
    return model.Test(
        id=f"tests/unit/test_orders.py::TestOrders::test_case_{number}[a-long-parameter-{number}]",
        attempts=(attempt,),
    )


def test_an_all_green_answer_is_at_most_400_characters():
    tests = [
        model.Test(id=f"t.py::test_{n}", attempts=(Attempt(outcome=Outcome.PASSED),)) for n in range(200_000)
    ]
    answer = ran.answer(report_of(run_of(tests, Status.PASSED, terminations=(Finished(exit_code=0),))))
    assert answer.status == "passed"
    assert ran.size(answer) <= 400


def test_a_green_answer_stays_small_however_much_got_better():
    before = run_of([failed(n) for n in range(60)])
    tests = [model.Test(id=test.id, attempts=(Attempt(outcome=Outcome.PASSED),)) for test in before.tests]
    run = run_of(tests, Status.PASSED, terminations=(Finished(exit_code=0),))
    warnings = ("a warning of some length, " * 20,) * 3
    answer = ran.answer(Report(run=run, difference=compare.compare(before, run), warnings=warnings))
    assert ran.size(answer) <= 400
    assert answer.newly_passing[-1].endswith("more")
    assert answer.warnings


@pytest.mark.parametrize(("causes", "most"), [(1, 1_500), (5, 2_500), (40, 8_000), (5_000, 8_000)])
def test_a_concise_answer_keeps_its_bound(causes, most):
    answer = ran.answer(report_of(run_of([failed(n) for n in range(causes)])))
    assert answer.failures
    assert ran.size(answer) <= most
    assert sum(len(g.tests) + g.tests_omitted for g in answer.failures) + answer.failures_omitted == causes


def test_five_thousand_tests_of_one_cause_are_one_group():
    one = failure(1)
    tests = [
        model.Test(id=f"t.py::test_{n}", attempts=(Attempt(outcome=Outcome.FAILED, failures=(one,)),))
        for n in range(5_000)
    ]
    answer = ran.answer(report_of(run_of(tests)))
    assert len(answer.failures) == 1
    assert len(answer.failures[0].tests) + answer.failures[0].tests_omitted == 5_000
    assert ran.size(answer) <= 1_500


def test_a_full_answer_shows_more_and_is_bounded():
    report = report_of(run_of([failed(n) for n in range(300)]))
    full, concise = ran.answer(report, full=True), ran.answer(report)
    assert ran.size(concise) < ran.size(full) <= ran.FULL
    assert len(full.failures) > len(concise.failures)


@pytest.mark.parametrize(
    "message",
    [
        "x" * 3_000_000,
        "\x1b[31mred\x1b[0m",
        "\ud800 lone",
        "\u202eevil",
        "a\x00b\x07",
        "</script>" * 900,
        "🎉" * 9_000,
    ],
)
def test_hostile_messages_stay_bounded_and_printable(message):
    answer = ran.answer(report_of(run_of([failed(1, message)])))
    text = ran.dump(answer)
    assert len(text) <= 1_500
    shown = json.loads(text)["failures"][0]["message"]
    assert shown.encode("utf-8")
    assert all(char.isprintable() or char in "\n\t" for char in shown)


def test_hostile_ids_stay_bounded():
    ids = ["x" * 100_000, "a\nb::c", "t.py::t[\ud800]", "t.py::t[\"'\\]"]
    tests = [
        model.Test(id=test_id, attempts=(Attempt(outcome=Outcome.FAILED, failures=(failure(1),)),))
        for test_id in ids
    ]
    assert len(ran.dump(ran.answer(report_of(run_of(tests)))).encode()) <= 1_500


def test_command_that_does_not_fit_is_not_cut_but_stands_elsewhere():
    command = "python -m pytest 'tests/test_a.py::test[" + "x" * 400 + "]'"
    judged = verdict.Judgement(
        verdict=verdict.Verdict.ORDER_DEPENDENT, action="Mend that state.", command=command
    )
    report = report_of(run_of([failed(1)]))
    report = replace(report, groups=[replace(one, judgement=judged) for one in report.groups])
    [concise], [full] = (ran.answer(report, full=full).failures for full in (False, True))
    assert concise.action == (
        "Mend that state. The command that shows it is long: test_history(view='test', detail='full')."
    )
    assert full.action == f"Mend that state. Reproduce: {command}"
    assert at_a_shell(concise.action).endswith(" is long: pytest-recall history test --full.")
    typed = step("Rerun it: confirm=3.", "pytest 'a[confirm=3]'", 300)
    assert at_a_shell(typed) == (
        "Rerun it: pytest-recall run --only failed --confirm 3. Reproduce: pytest 'a[confirm=3]'"
    )


def test_a_run_out_of_time_names_its_culprit():
    test = model.Test(id="t.py::test_hang", attempts=(Attempt(outcome=Outcome.TIMED_OUT),))
    run = run_of(
        [test], Status.TIMED_OUT, terminations=(TimedOut(limit_s=5, test="t.py::test_hang"),), culprits=("t.py::test_hang",),
        not_run=("t.py::test_after",),
    )  # fmt: skip
    answer = ran.answer(report_of(run))
    assert answer.culprit == ["t.py::test_hang"]
    assert "5 s" in answer.error
    assert answer.counts["not_run"] == 1
    assert "did not run" in answer.next_step


def test_texts_say_where_they_were_cut():
    assert head("abcdef", 4) == "abc…"
    assert tail("abcdef", 4) == "…def"
    assert middle("abcdefghij", 5) == "ab…ij"
    assert clean("a\x1b]0;title\x07b\x9b") == "ab\\x9b"


@pytest.mark.parametrize(
    ("message", "exception", "said"),
    [
        ("ValueError: no", "ValueError", "no"),
        ("shop.Bad: ValueError: no", "shop.Bad", "ValueError: no"),
        ("Bad: no", "shop.Bad", "no"),
        ("assert 1 == 2", "AssertionError", "assert 1 == 2"),
    ],
)
def test_an_exceptions_name_is_said_once(message, exception, said):
    assert unnamed(message, exception) == said
