"""From facts to a verdict: what a Run says, and that nothing can make it greener than it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.answers import resource
from pytest_recall.model import (
    Cancelled,
    Crashed,
    Finished,
    Interrupted,
    Outcome,
    Revision,
    Run,
    RunFiles,
    RunRequest,
    Stack,
    Status,
    Target,
    TimedOut,
)
from pytest_recall.running import events, jsonreport, report, usage
from pytest_recall.running.ledger import Ledger
from pytest_recall.running.report import Ended, Origin

ORIGIN = Origin(
    id="1",
    started_at=1.0,
    request=RunRequest(),
    target=Target(root="/project", python="/python", source="test"),
    revision=Revision(digest="same"),
    space="agent",
    source="test",
    client="",
)


class Story:
    """A run told fact by fact."""

    def __init__(self) -> None:
        self.ledger = Ledger(root="/project", clock=lambda: 0.0)
        self.ends: list[Ended] = []
        self.begin()

    def begin(self, repetition: int = 0) -> Story:
        self.ledger.begin(repetition)
        return self

    def tell(self, kind: str, **fields: Any) -> Story:
        event = events.decode(json.dumps({"e": kind, "t": 1.0} | fields).encode())
        assert event is not None
        self.ledger.add(event)
        return self

    def session(self, *names: str, n: int | None = None) -> Story:
        self.tell(
            "session", pytest="9.2.0", python="/python", version=[3, 11, 7], root="/project", plugins=[]
        )
        self.tell("file", id="a.py", tests={name: {} for name in names})
        return self.tell("collected", n=len(names) if n is None else n, deselected=0)

    def start(self, name: str) -> Story:
        return self.tell("start", id=f"a.py::{name}")

    def phase(self, name: str, when: str = "call", outcome: str = "passed", **fields: Any) -> Story:
        return self.tell("phase", id=f"a.py::{name}", when=when, outcome=outcome, dur=0.1, **fields)

    def finish(self, name: str, *, teardown_ok: bool = True) -> Story:
        return self.tell("finish", id=f"a.py::{name}", setup=0.1, teardown=0.1, teardown_ok=teardown_ok)

    def test(self, name: str, outcome: str = "passed") -> Story:
        return self.start(name).phase(name, outcome=outcome).finish(name)

    def over(self, code: int = 0, *, said: int | None = None, failed: int = 0) -> Story:
        self.tell("sessionfinish", exit=code if said is None else said, failed=failed)
        self.tell("end")
        return self.exit(code)

    def exit(self, code: int | None, **more: Any) -> Story:
        end = Ended(launch=self.ledger.launch, exit_code=code, **({"boot": {}, "startup": {}} | more))
        how = report.termination(end)
        self.ledger.end(crashed=isinstance(how, Crashed) and not how.at_exit)
        self.ends.append(end)
        return self

    def run(self, *doubts: str) -> Run:
        return report.build(ORIGIN, self.ledger, self.ends, duration_s=1.0, doubts=doubts)


def status(story: Story) -> Status:
    return story.run().status


def test_all_passed_is_passed() -> None:
    run = Story().session("test_a", "test_b").test("test_a").test("test_b").over(0).run()

    assert run.status is Status.PASSED
    assert run.counts == {"passed": 2, "collected": 2}
    assert run.doubts == ()
    assert run.tests[0].decisive.duration_s == pytest.approx(0.3)


def test_failure_is_failed() -> None:
    run = Story().session("test_a").test("test_a", "failed").over(1, failed=1).run()

    assert (run.status, run.terminations, run.doubts) == (Status.FAILED, (Finished(exit_code=1),), ())


@pytest.mark.parametrize(
    ("story", "doubt"),
    [
        (Story().session("test_a").test("test_a", "failed").over(0), "although tests failed"),
        (Story().session("test_a").test("test_a").over(1), "although no test failed"),
        (Story().session("test_a").test("test_a").over(0, said=1), "said exit 1"),
        (Story().session("test_a").test("test_a").over(0, failed=2), "counted 2 failures"),
        (Story().session("test_a").test("test_a").over(42), "none of its own"),
        (Story().session("test_a", "test_b").test("test_a").over(0), "only 1 of 2"),
        (Story().session("test_a", n=3).test("test_a").over(0), "only 1 of 3"),
    ],
)
def test_stories_that_differ_are_doubted_and_never_passed(story: Story, doubt: str) -> None:
    run = story.run()

    assert run.status is Status.FAILED
    assert doubt in " ".join(run.doubts)


def test_facts_that_could_not_be_written_are_a_doubt() -> None:
    story = Story().session("test_a").test("test_a")
    story.tell("sessionfinish", exit=0, failed=0, lost=3).tell("end").exit(0)

    assert "3 facts" in " ".join(story.run().doubts)
    assert status(story) is Status.FAILED


def test_doubt_of_others_keeps_a_run_from_passing() -> None:
    assert Story().session("test_a").test("test_a").over(0).run("a line was lost").status is Status.FAILED


def test_exit_zero_without_the_session_s_end_is_a_crash_of_what_was_running() -> None:
    run = Story().session("test_a", "test_b").test("test_a").start("test_b").exit(0).run()

    assert run.status is Status.CRASHED
    assert run.terminations == (Crashed(exit_code=0),)
    assert run.culprits == ("a.py::test_b",)
    assert run.tests[1].outcome is Outcome.CRASHED


def test_signal_is_named() -> None:
    run = Story().session("test_a").start("test_a").exit(-11).run()

    assert run.terminations == (Crashed(exit_code=-11, signal="SIGSEGV"),)


def test_crash_at_exit_blames_no_test() -> None:
    story = (
        Story().session("test_a").test("test_a").tell("sessionfinish", exit=0, failed=0).tell("end").exit(-11)
    )

    assert status(story) is Status.CRASHED
    assert story.run().culprits == ()
    assert story.run().terminations == (Crashed(exit_code=-11, signal="SIGSEGV", at_exit=True),)


def test_interrupted_test_is_not_run() -> None:
    story = Story().session("test_a", "test_b").test("test_a").start("test_b").phase("test_b", "setup")
    run = story.tell("interrupt", type="KeyboardInterrupt", text="KeyboardInterrupt").over(2).run()

    assert run.status is Status.INTERRUPTED
    assert run.terminations == (Interrupted(reason="KeyboardInterrupt"),)
    assert run.not_run == ("a.py::test_b",)


def test_failed_call_stays_failed_when_the_teardown_is_interrupted() -> None:
    story = Story().session("test_a").start("test_a").phase("test_a", outcome="failed", failure={"type": "E"})
    run = story.tell("interrupt", type="KeyboardInterrupt", text="").over(2).run()

    assert [(test.outcome, len(test.failures)) for test in run.tests] == [(Outcome.FAILED, 1)]


def test_collection_error_outranks_what_passed() -> None:
    story = (
        Story()
        .session("test_a")
        .tell("collect", id="b.py", outcome="failed", failure={"type": "ImportError"})
    )

    assert status(story.test("test_a").over(1, failed=1)) is Status.COLLECTION_FAILED


def test_session_that_stops_itself_after_collection_errors_is_no_interrupt() -> None:
    story = Story().session().tell("collect", id="b.py", outcome="failed", failure={"type": "ImportError"})
    story.tell("interrupt", type="_pytest.main.Session.Interrupted", text="1 error during collection")

    assert status(story.over(2, failed=1)) is Status.COLLECTION_FAILED


def test_nothing_selected_is_no_tests_even_with_exit_zero() -> None:
    assert status(Story().session().over(5)) is Status.NO_TESTS
    assert status(Story().session().over(0)) is Status.NO_TESTS


def test_broken_conftest_is_told_from_a_usage_error() -> None:
    broken = Story().exit(
        4, startup={"path": "/project/conftest.py", "message": "no", "cause": "ImportError: x"}
    )
    refused = Story().exit(4, startup={"path": "", "message": "unrecognized arguments: --x"})

    assert status(broken) is Status.COLLECTION_FAILED
    assert status(refused) is Status.USAGE_ERROR


@pytest.mark.parametrize(
    ("told", "place"), [("None", "PYTEST_ADDOPTS."), ("/p/tox.ini", "`addopts` in '/p/tox.ini'.")]
)
def test_unknown_option_comes_from_an_ini_file_only_where_there_is_one(told: str, place: str) -> None:
    printed = f"usage: p [options]\np: error: unrecognized arguments: --x\n  inifile: {told}\n  rootdir: /p\n"
    assert usage.why(printed.encode()).endswith(f"Where it is not in args, it comes from {place}")


def test_pytest_that_cannot_start_is_an_internal_error() -> None:
    assert status(Story().exit(1, startup={"path": "", "message": "AttributeError"})) is Status.INTERNAL_ERROR


def test_internal_error_of_a_hook() -> None:
    story = (
        Story()
        .session("test_a")
        .start("test_a")
        .tell("internalerror", type="RuntimeError", text="boom")
        .over(3)
    )

    assert status(story) is Status.INTERNAL_ERROR


def test_what_we_did_to_a_run_outranks_its_exit_code() -> None:
    story = Story().session("test_a").test("test_a").tell("sessionfinish", exit=0, failed=0).tell("end")

    assert status(story.exit(0, why=TimedOut(limit_s=1.0))) is Status.TIMED_OUT
    assert status(Story().exit(None, why=Cancelled())) is Status.CANCELLED


def test_culprit_of_a_limit_stays_one_whatever_it_reports_later() -> None:
    story = Story().session("test_a").start("test_a")
    story.ledger.blame(["a.py::test_a"])
    run = story.phase("test_a").finish("test_a").exit(2, why=TimedOut(limit_s=1.0, test="a.py::test_a")).run()

    assert run.tests[0].outcome is Outcome.TIMED_OUT
    assert run.culprits == ("a.py::test_a",)


def test_resumed_run_is_whole_and_never_passed() -> None:
    story = Story().session("test_a", "test_b", "test_c").test("test_a").start("test_b").exit(-6)
    run = story.begin(0).session("test_c").test("test_c").over(0).run()

    assert run.status is Status.CRASHED
    assert (run.collected, run.not_run, len(run.terminations)) == (3, (), 2)
    assert {test.id: test.outcome.value for test in run.tests} == {
        "a.py::test_a": "passed",
        "a.py::test_b": "crashed",
        "a.py::test_c": "passed",
    }


def test_property_that_is_called_a_secret_is_none_to_keep() -> None:
    told = [["password", "hunter2"], ["max_tokens", "100"], ["note", "token=hunter2"], ["build", "7"]]
    story = Story().session("test_a").start("test_a").phase("test_a").phase("test_a", "teardown", props=told)
    run = story.finish("test_a").over(0).run()

    assert run.tests[0].attempts[0].properties == (
        ("password", "[redacted]"),
        ("max_tokens", "100"),
        ("note", "token=[redacted]"),
        ("build", "7"),
    )


def test_rerun_replaces_what_it_reruns() -> None:
    story = Story().session("test_a").start("test_a").phase("test_a", outcome="rerun", failure={"type": "E"})
    run = story.phase("test_a").finish("test_a").over(0).run()

    assert run.status is Status.PASSED
    assert [attempt.outcome.value for attempt in run.tests[0].attempts] == ["failed", "passed"]
    assert run.counts == {"passed": 1, "rerun": 1, "collected": 1}


def test_attempt_that_fails_in_its_teardown_too_is_one() -> None:
    story = Story().session("test_a").start("test_a").phase("test_a", outcome="rerun", failure={"type": "E"})
    story.phase("test_a", "teardown", outcome="rerun", failure={"type": "F"}).phase(
        "test_a", outcome="failed"
    )
    run = story.phase("test_a", "teardown", outcome="failed").finish("test_a").over(1).run()

    first, last = run.tests[0].attempts
    assert [(each.phase, each.exception) for each in first.failures] == [("call", "E"), ("teardown", "F")]
    assert [each.phase for each in last.failures] == ["call", "teardown"]
    assert run.counts == {"failed": 1, "error": 1, "rerun": 1, "collected": 1}


def test_rerun_that_starts_anew_is_still_a_rerun() -> None:
    story = Story().session("test_a").start("test_a").phase("test_a", outcome="rerun").finish("test_a")
    run = story.start("test_a").phase("test_a").finish("test_a").over(0).run()

    assert run.status is Status.PASSED
    assert run.counts == {"passed": 1, "rerun": 1, "collected": 1}


def test_rerun_that_starts_before_the_attempt_was_told_is_still_a_rerun() -> None:
    story = Story().session("test_a").start("test_a").start("test_a")
    story.phase("test_a", outcome="rerun").phase("test_a", "teardown").finish("test_a")
    run = story.phase("test_a").finish("test_a").over(0).run()

    assert run.counts == {"passed": 1, "rerun": 1, "collected": 1}


def test_rerun_that_never_came_leaves_the_failure() -> None:
    story = Story().session("test_a").start("test_a").phase("test_a", outcome="rerun").finish("test_a")
    run = story.over(0).run()

    assert (run.status, run.tests[0].outcome) == (Status.FAILED, Outcome.FAILED)


def test_repetition_cannot_hide_a_failure() -> None:
    story = Story().session("test_a").test("test_a", "failed").over(1, failed=1)
    run = story.begin(1).session("test_a").test("test_a").over(0).run()

    assert run.status is Status.FAILED
    assert run.doubts == ()
    assert [attempt.repetition for attempt in run.tests[0].attempts] == [0, 1]


def test_test_that_is_there_twice_cannot_hide_its_failure() -> None:
    run = Story().session("test_a", n=2).test("test_a", "failed").test("test_a").over(1, failed=1).run()

    assert run.tests[0].outcome is Outcome.FAILED


def test_unfinished_repetition_is_not_passed() -> None:
    story = Story().session("test_a", "test_b").test("test_a").test("test_b").over(0)
    run = story.begin(1).session("test_a", "test_b").test("test_a").over(0).run()

    assert run.status is Status.FAILED


def test_failed_subtest_fails_its_test() -> None:
    story = Story().session("test_a").start("test_a")
    story.phase("test_a", outcome="failed", subtest={"text": "i=1"}, failure={"type": "AssertionError"})
    run = story.phase("test_a").finish("test_a").over(1, failed=1).run()

    assert run.tests[0].outcome is Outcome.FAILED
    assert run.tests[0].failures[0].subtest == "i=1"
    assert run.counts["subtests_failed"] == 1


@pytest.mark.parametrize(
    ("phases", "outcome"),
    [
        ([("call", "passed", "")], Outcome.PASSED),
        ([("setup", "skipped", "")], Outcome.SKIPPED),
        ([("call", "skipped", "xfailed")], Outcome.XFAILED),
        ([("call", "passed", "xpassed")], Outcome.XPASSED),
        ([("setup", "failed", "error")], Outcome.ERROR),
        ([("call", "passed", ""), ("teardown", "failed", "error")], Outcome.ERROR),
        ([("call", "failed", ""), ("teardown", "failed", "error")], Outcome.FAILED),
        ([("call", "skipped", ""), ("teardown", "failed", "error")], Outcome.ERROR),
        ([("call", "failed", "known bug")], Outcome.FAILED),
        ([("call", "nonsense", "")], Outcome.FAILED),
        ([("setup", "passed", "")], Outcome.NOT_RUN),
        ([], Outcome.NOT_RUN),
    ],
)
def test_outcome_of_a_test_from_its_phases(phases: list[tuple[str, str, str]], outcome: Outcome) -> None:
    story = Story().session("test_a").start("test_a")
    for when, result, category in phases:
        story.phase("test_a", when, result, status=category)

    assert story.finish("test_a").over(1).run().tests[0].outcome is outcome


def test_test_whose_teardown_nobody_saw_has_not_passed() -> None:
    run = (
        Story()
        .session("test_a")
        .start("test_a")
        .phase("test_a")
        .finish("test_a", teardown_ok=False)
        .over(0)
        .run()
    )

    assert run.tests[0].outcome is Outcome.ERROR
    assert run.status is Status.FAILED


def test_worker_that_died_under_a_test_makes_it_the_culprit() -> None:
    story = Story().session("test_a", "test_b").start("test_a")
    run = story.phase("test_a", outcome="failed", crashed=True).test("test_b").over(1, failed=1).run()

    assert run.status is Status.CRASHED
    assert run.culprits == ("a.py::test_a",)


def test_test_that_the_next_start_tells_of_has_passed() -> None:
    story = Story().session("test_a", "test_b").start("test_a")
    story.tell("start", id="a.py::test_b", was=["a.py::test_a", 100_000, 200_000, 300_000])
    run = story.exit(-9).run()

    (test,) = [test for test in run.tests if test.id == "a.py::test_a"]
    attempt = test.attempts[-1]
    assert test.outcome is Outcome.PASSED
    assert (attempt.setup_s, attempt.call_s, attempt.teardown_s) == (0.1, 0.2, 0.3)
    assert run.culprits == ("a.py::test_b",)


def test_start_takes_nothing_back_of_what_failed() -> None:
    story = Story().session("test_a", "test_b").start("test_a").phase("test_a", outcome="failed")
    story.tell("start", id="a.py::test_b", was=["a.py::test_a", 1, 2, 3]).phase("test_b").finish("test_b")

    assert story.ledger.attempts["a.py::test_a"][-1].outcome is Outcome.FAILED


def test_finish_of_a_test_that_never_started_counts_for_nothing() -> None:
    run = Story().session("test_a").finish("test_a").over(0).run()

    assert run.status is Status.FAILED
    assert run.not_run == ("a.py::test_a",)


def test_thousands_of_failures_weigh_little() -> None:
    names = [f"test_{number}" for number in range(3_000)]
    story = Story().session(*names)
    for name in names:
        failure = {"type": "E", "message": name + "x" * 10_000, "text": "y" * 20_000}
        story.start(name).phase(name, outcome="failed", failure=failure).finish(name)

    failures = [failure for test in story.over(1, failed=3_000).run().tests for failure in test.failures]

    assert sum(len(failure.message) + len(failure.text) for failure in failures) < 40_000_000
    assert all(failure.message for failure in failures)


def test_frames_are_the_project_s_only_inside_it_and_outside_its_environments() -> None:
    frames = [
        ["/project/a.py", 1, "f", "x"],
        ["/project/.venv/lib/site-packages/b.py", 2, "g", "y"],
        ["/lib/c.py", 3, "h", "z"],
    ]
    story = Story().session("test_a").start("test_a")
    story.phase("test_a", outcome="failed", failure={"type": "E", "message": "", "frames": frames})

    failure = story.finish("test_a").over(1, failed=1).run().tests[0].failures[0]

    assert [(frame.path, frame.project) for frame in failure.frames] == [
        ("a.py", True),
        (".venv/lib/site-packages/b.py", False),
        ("/lib/c.py", False),
    ]


def test_beginning_of_a_run_survives_being_written_down() -> None:
    origin = Origin(
        id="2",
        started_at=2.0,
        request=RunRequest(tests=("a",), args=("-x",), env=(("A", "1"),), intent="why"),
        target=Target(root="/p", python="/py", source=".venv"),
        revision=Revision(digest="d", commit="c", dirty=True),
        space="ci",
        source="cli",
        client="me",
    )

    assert report.origin_of(json.loads(json.dumps(report.story(origin)))) == origin


def test_json_report_that_says_worse_is_a_doubt() -> None:
    story = Story().session("test_a", "test_b").test("test_a").test("test_b").over(0)
    told = json.dumps(
        {"tests": [{"nodeid": "a.py::test_a", "outcome": "error"}, {"nodeid": "a.py::test_b"}, 1]}
    ).encode()

    (doubt,) = jsonreport.doubts(told, story.ledger.attempts)

    assert "a.py::test_a" in doubt
    assert jsonreport.doubts(b"\xff{", story.ledger.attempts) == []


def test_json_report_that_says_better_changes_nothing() -> None:
    story = Story().session("test_a").test("test_a", "failed").over(1, failed=1)
    told = json.dumps({"tests": [{"nodeid": "a.py::test_a", "outcome": "passed"}]}).encode()

    assert jsonreport.doubts(told, story.ledger.attempts) == []
    assert status(story) is Status.FAILED


def test_json_report_is_made_from_the_run_where_there_is_none() -> None:
    run = Story().session("test_a", "test_b").test("test_a").test("test_b", "failed").over(1, failed=1).run()

    told = json.loads(jsonreport.compose(run))

    assert told["exitcode"] == 1
    assert told["summary"] == {"passed": 1, "failed": 1, "collected": 2, "total": 2}
    assert [(test["nodeid"], test["outcome"]) for test in told["tests"]] == [
        ("a.py::test_a", "passed"),
        ("a.py::test_b", "failed"),
    ]


def test_json_report_keeps_hundredths_of_a_millisecond_and_every_other_byte() -> None:
    text = r'"crash: \"duration\": 0.123456789, 1.0"'
    told = (
        f'{{"duration": 1.23456789, "a": {{"duration":6.04e-05,"x":0.123456789}}, "duration": 12, "text": {text}, '
        '"duration": 1.2.3, "duration": 1e999}'
    ).encode()

    kept = jsonreport.rounded(told)

    assert kept == told.replace(b"1.23456789", b"1.23457").replace(b"6.04e-05", b"0.00006")


@pytest.mark.parametrize(("most", "left"), [(10_000_000, 4), (2_000, 2), (500, 0)])
def test_json_report_that_is_too_long_is_cut_between_tests(monkeypatch, most, left) -> None:
    story = Story().session(*["test_a", "test_b", "test_c", "test_d"])
    for name, outcome in zip("abcd", ("passed", "failed", "passed", "failed"), strict=True):
        story.test(f"test_{name}", outcome)
    run = story.over(1, failed=2).run()
    monkeypatch.setattr(resource, "MOST", most)

    told = json.loads(resource.report(run, RunFiles(report=b"x" * 5_000 if most < 5_000 else b"")))

    assert len(told["tests"]) == left


@pytest.mark.parametrize(("most", "most_tests", "left"), [(10**6, 0, 3), (0, 10**6, 3), (0, 0, 1)])
def test_run_that_is_long_is_told_with_every_test_while_that_can_be(
    monkeypatch, most, most_tests, left
) -> None:
    story = Story().session(*["test_a", "test_b", "test_c"])
    for name, outcome in zip("abc", ("passed", "failed", "passed"), strict=True):
        story.test(f"test_{name}", outcome)
    run = story.over(1, failed=1).run()
    monkeypatch.setattr(resource, "MOST", most)
    monkeypatch.setattr(resource, "MOST_TESTS", most_tests)

    told = json.loads(resource.run(run))

    outcomes = [(test["id"], test["attempts"][-1]["outcome"]) for test in told["tests"]]
    assert outcomes == [(test.id, test.outcome.value) for test in run.tests if left == 3 or test.failures]
    assert (told["id"], told["request"]["tests"]) == (run.id, [])
    assert told.get("tests_omitted", 0) == 3 - left


STEPS = {
    "start": lambda story, name, _: story.start(name),
    "pass": lambda story, name, _: story.phase(name),
    "fail": lambda story, name, _: story.phase(name, outcome="failed"),
    "finish": lambda story, name, _: story.finish(name),
    "interrupt": lambda story, _, __: story.tell("interrupt", type="KeyboardInterrupt", text=""),
    "internal": lambda story, _, __: story.tell("internalerror", type="E", text=""),
    "end": lambda story, _, said: story.tell("sessionfinish", exit=said, failed=0).tell("end"),
}


@given(
    steps=st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from("ab")), max_size=14),
    code=st.sampled_from([0, 0, 0, 1, 2, 5, -9, None]),
    said=st.sampled_from([0, 1]),
)
def test_only_a_whole_story_is_ever_green(steps: list[tuple[str, str]], code: int | None, said: int) -> None:
    story = Story().session("a", "b")
    for step, name in steps:
        STEPS[step](story, name, said)

    if status(story.exit(code)) is Status.PASSED:
        assert (code, said) == (0, 0)
        assert not {"fail", "interrupt", "internal"} & {step for step, _ in steps}
        assert "end" in {step for step, _ in steps}
        for name in "ab":
            own = dict.fromkeys(
                step for step, of in steps if of == name and step in {"start", "pass", "finish"}
            )
            assert list(own) == ["start", "pass", "finish"]


def test_stacks_are_kept_with_the_run() -> None:
    run = Story().session("test_a").start("test_a").exit(-11, stacks=(Stack(pid=1, text="Fatal"),)).run()

    assert run.stacks == (Stack(pid=1, text="Fatal"),)
