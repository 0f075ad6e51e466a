"""Reports of other tools become runs: what they tell is right, and what they cannot tell is named."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_recall.errors import Unimportable
from pytest_recall.history import trend, verdict
from pytest_recall.imports import formats
from pytest_recall.imports.places import Places
from pytest_recall.imports.report import Origin
from pytest_recall.imports.revisions import of_commit
from pytest_recall.model import Outcome, Run, Status
from pytest_recall.store import shape

NOWHERE = Path("/nowhere/at/all")
RECORDED = Path(__file__).parents[1] / "recorded"
ORIGIN = Origin(root=NOWHERE, revision=of_commit("a" * 40), job="linux", now=2e9)


def read(text: str | bytes, *, origin: Origin = ORIGIN, wanted: str = "") -> tuple[Run, ...]:
    data = text.encode() if isinstance(text, str) else text
    places = Places(origin.root)
    return formats.read(data, origin, at=1.7e9, places=places, load=shape.load, wanted=wanted).runs


def one(text: str | bytes, **options) -> Run:
    [run] = read(text, **options)
    return run


def outcomes(run: Run) -> dict[str, list[str]]:
    return {test.id: [attempt.outcome.value for attempt in test.attempts] for test in run.tests}


def recorded(kind: str) -> Run:
    """One run of pytest 9.2 with rerunfailures, written by the four tools at the same time."""
    return one((RECORDED / f"rerunfailures.{kind}").read_bytes())


@pytest.mark.parametrize("kind", ["xml", "jsonreport.json", "reportlog.jsonl"])
def test_property_that_is_called_a_secret_is_none_to_keep(kind: str) -> None:
    text = (RECORDED / f"rerunfailures.{kind}").read_text("utf-8")
    if kind == "xml":
        told = '<properties><property name="password" value="hunter2"/></properties>'
        text = re.sub(r'(<testcase [^>]*name="test_total"[^>]*>)', rf"\1{told}", text)
    elif kind == "jsonreport.json":
        report = json.loads(text)
        report["tests"][0]["user_properties"] = [{"password": "hunter2"}]
        text = json.dumps(report)
    else:
        text = text.replace('"user_properties": []', '"user_properties": [["password", "hunter2"]]')
    found = {each for test in one(text).tests for attempt in test.attempts for each in attempt.properties}
    assert found == {("password", "[redacted]")}


SHOP = "tests/test_shop.py::"
PLAIN = {
    f"{SHOP}TestCart::test_add[a.b::c[d]]": ["passed"],
    f"{SHOP}test_total": ["failed"],
    f"{SHOP}test_close": ["error"],
    f"{SHOP}test_close_and_fail": ["failed"],
    f"{SHOP}test_later": ["skipped"],
    f"{SHOP}test_known": ["xfailed"],
}


@pytest.mark.parametrize(
    ("kind", "differing", "lost"),
    [
        (
            "xml",  # the attempt that failed is an empty test case; an xpass looks like a pass
            {"test_mended": ["passed"], "test_flaky": ["passed"], "test_subtests": ["failed", "failed"]},
            {"attempts", "environment", "exit", "ids", "phases", "subtests", "workers", "xpass"},
        ),
        (
            "jsonreport.json",  # it says "rerun" of a test that passed on retry
            {"test_mended": ["xpassed"], "test_flaky": ["passed"], "test_subtests": ["failed"]},
            {"attempts", "environment", "subtests", "workers"},
        ),
        (
            "reportlog.jsonl",
            {
                "test_mended": ["xpassed"],
                "test_flaky": ["failed", "passed"],
                "test_subtests": ["failed", "failed"],
            },
            {"environment"},
        ),
        (
            "ctrf.json",
            {
                "test_mended": ["passed"],
                "test_flaky": ["failed", "passed"],
                "test_subtests": ["failed", "failed"],
            },
            {"collection", "environment", "exit", "phases", "subtests", "xpass"},
        ),
    ],
)
def test_each_format_tells_what_it_can_and_confesses_the_rest(kind, differing, lost):
    run = recorded(kind)
    assert outcomes(run) == PLAIN | {SHOP + name: found for name, found in differing.items()}
    assert set(run.lost) == lost
    assert run.status is Status.FAILED
    assert run.counts["failed"] == 3
    assert run.notes[-1].startswith("Imported from ")


def test_one_failure_has_one_fingerprint_in_every_format():
    seen = [
        {(test.id, failure.phase): failure.fingerprint for test in run.tests for failure in test.failures[:1]}
        for run in map(recorded, ("xml", "jsonreport.json", "reportlog.jsonl", "ctrf.json"))
    ]
    for test in ("test_total", "test_close_and_fail"):
        assert len({prints[SHOP + test, "call"] for prints in seen}) == 1
    assert len({prints[f"{SHOP}test_close", "teardown"] for prints in seen}) == 1


def test_failure_keeps_its_words_its_frame_and_its_source():
    for kind in ("xml", "jsonreport.json", "reportlog.jsonl", "ctrf.json"):
        [failure] = next(test for test in recorded(kind).tests if test.id == f"{SHOP}test_total").failures
        assert (failure.exception, failure.message) == (
            "AssertionError",
            "AssertionError: sum\nassert (1 + 1) == 3",
        )
        assert failure.at is not None
        assert (failure.at.path, failure.at.line, failure.at.source, failure.at.project) == (
            "tests/test_shop.py",
            20,
            'assert 1 + 1 == 3, "sum"',
            True,
        )


def test_teardown_error_after_a_failure_is_no_second_test():
    for kind in ("xml", "jsonreport.json", "reportlog.jsonl"):
        run = recorded(kind)
        [test] = [test for test in run.tests if test.id == f"{SHOP}test_close_and_fail"]
        assert [failure.phase for failure in test.failures] == ["call", "teardown"]
        assert run.counts["error"] == 2  # as pytest counted


def suite(cases: str, **more: str) -> str:
    attributes = " ".join(
        f'{name}="{value}"' for name, value in {"name": "pytest", "time": "1.5", **more}.items()
    )
    return f"<testsuites><testsuite {attributes}>{cases}</testsuite></testsuites>"


def case(name: str, inside: str = "", classname: str = "tests.test_a") -> str:
    return f'<testcase classname="{classname}" name="{name}" time="0.5">{inside}</testcase>'


FAILURE = (
    '<failure message="assert 0">&gt;   assert 0\nE   assert 0\n\ntests/test_a.py:3: AssertionError</failure>'
)


def proven_flaky(*runs: Run) -> bool:
    """Whether *runs* together prove a flake of `test_b`."""
    history = None
    for run in runs:
        for test, new in trend.samples(run, trend.row(run)).items():
            if test == "tests/test_a.py::test_b":
                history = trend.fold(history, test, new)
    return verdict.judge(history).verdict is verdict.Verdict.FLAKY


def test_hidden_attempts_prove_no_flake_where_honest_ones_do():
    good = one(suite(case("test_b"), timestamp="2026-01-01T00:00:00Z"))
    bad = one(suite(case("test_b", FAILURE), timestamp="2026-01-02T00:00:00Z"))
    hidden = one(suite(case("test_b") + case("test_b", FAILURE), timestamp="2026-01-02T00:00:00Z"))
    assert hidden.lost[0] == "attempts"
    assert proven_flaky(good, bad)
    assert not proven_flaky(good, hidden)
    assert not proven_flaky(hidden)


TWICE = {
    "junit": suite(case("test_b", FAILURE) + case("test_b")),
    "ctrf": """{"results": {"tool": {"name": "x"}, "tests": [
        {"name": "tests/test_a.py::test_b", "status": "failed", "duration": 1, "message": "assert 0"},
        {"name": "tests/test_a.py::test_b", "status": "passed", "duration": 1}]}}""",
}
RERUN = {
    "junit": suite(case("test_b", '<flakyFailure message="assert 0" type="E"/>')),
    "ctrf": """{"results": {"tool": {"name": "x"}, "tests": [
        {"name": "tests/test_a.py::test_b", "status": "passed", "duration": 1, "retries": 1,
         "retryAttempts": [{"attempt": 1, "status": "failed", "duration": 1, "message": "assert 0"}]}]}}""",
}


@pytest.mark.parametrize("kind", ["junit", "ctrf"])
def test_two_tests_of_one_name_in_a_report_prove_no_flake_and_a_rerun_that_is_told_does(kind):
    twice = one(TWICE[kind])
    assert ("attempts" in twice.lost, outcomes(twice)) == (
        True,
        {"tests/test_a.py::test_b": ["failed", "passed"]},
    )
    assert not proven_flaky(twice)
    unsaid = Origin(root=NOWHERE, now=2e9)
    for origin in (ORIGIN, unsaid):
        assert proven_flaky(one(RERUN[kind], origin=origin))
    [samples] = trend.observed(run := one(RERUN[kind], origin=unsaid), trend.row(run)).values()
    assert verdict.judge(None, samples).evidence == "1 red and 1 green in this very state"


def test_report_of_an_unknown_commit_or_place_proves_no_flake():
    good, bad = (
        suite(case("test_b"), timestamp="2026-01-01"),
        suite(case("test_b", FAILURE), timestamp="2026-01-02"),
    )
    for origin in (
        Origin(root=NOWHERE, job="linux", now=2e9),
        Origin(root=NOWHERE, revision=of_commit("a" * 40), now=2e9),
    ):
        assert not proven_flaky(one(good, origin=origin), one(bad, origin=origin))


def test_doubles_that_are_no_reruns_cannot_hide_a_failure():
    run = one(suite(case("test_b", FAILURE) + case("test_b")))
    assert run.tests[0].outcome is Outcome.FAILED
    assert run.status is Status.FAILED


def test_reruns_of_parallel_workers_lie_between_other_tests():
    run = one(suite(case("test_b") + case("test_c") + case("test_b", FAILURE) + case("test_c")))
    assert outcomes(run) == {"tests/test_a.py::test_b": ["failed"], "tests/test_a.py::test_c": ["passed"]}
    assert run.notes[0].startswith("2 tests are in the report more than once")


def test_merged_document_is_a_run_for_each_suite_that_tells_of_the_same_tests():
    first = suite(case("test_b"), timestamp="2026-01-01").removesuffix("</testsuites>")
    second = suite(case("test_b", FAILURE), timestamp="2026-01-02").removeprefix("<testsuites>")
    runs = read(first + second)
    assert [run.status for run in runs] == [Status.PASSED, Status.FAILED]
    assert len({run.id for run in runs}) == 2


@pytest.mark.parametrize(
    ("hosts", "places"),
    [
        (("chromium", "firefox"), ["chromium", "firefox"]),
        (("vm", "vm"), ["1 of 2", "2 of 2"]),
        (("", ""), ["1 of 2", "2 of 2"]),
    ],
)
def test_runs_of_one_document_are_each_of_a_place_of_its_own_and_prove_no_flake(hosts, places):
    def merged(*inside: str) -> tuple[Run, ...]:
        told = zip(hosts, inside, strict=True)
        suites = (
            suite(case("test_b", within), hostname=host, timestamp="2026-01-01")[12:-13]
            for host, within in told
        )
        return read(jest(*suites))

    runs = merged("", FAILURE)
    assert [run.environment.distributions for run in runs] == [f"job linux/{place}" for place in places]
    assert not proven_flaky(*runs)
    assert proven_flaky(*runs, *merged(FAILURE, FAILURE))  # one and the same place, in two documents


def test_one_double_in_a_large_document_does_not_tear_it_apart():
    suites = [suite(case(name))[12:-13] for name in ("test_a", "test_b", "test_c", "test_b", "test_d")]
    runs = read(f"<testsuites>{''.join(suites)}</testsuites>")
    assert [len(run.tests) for run in runs] == [3, 2]
    with pytest.raises(Unimportable, match="more than 200 runs"):
        read(f"<testsuites>{suites[0] * 300}</testsuites>")


@pytest.mark.parametrize(
    ("attribute", "outcome"),
    [
        ('status="failed"', Outcome.FAILED),
        ('status="fail"', Outcome.FAILED),
        ('result="Failure"', Outcome.FAILED),
        ('status="Skipped"', Outcome.SKIPPED),
        ('status="disabled"', Outcome.SKIPPED),
        ('status="notRun"', Outcome.SKIPPED),
        ('status="run" result="completed"', Outcome.PASSED),
    ],
)
def test_outcome_that_only_an_attribute_tells_is_believed(attribute, outcome):
    run = one(suite(f'<testcase classname="tests.test_a" name="test_b" {attribute}/>'))
    assert run.tests[0].outcome is outcome
    assert (run.status is Status.FAILED) == outcome.bad


def test_test_that_stands_in_no_suite_is_read_too():
    text = f"<testsuites>{suite(case('test_a'))[12:-13]}{case('test_b', FAILURE)}</testsuites>"
    run = one(text)
    assert outcomes(run) == {"tests/test_a.py::test_a": ["passed"], "tests/test_a.py::test_b": ["failed"]}
    assert run.status is Status.FAILED
    assert one(f"<testsuites>{case('test_b', FAILURE)}</testsuites>").status is Status.FAILED


def test_time_that_has_not_come_yet_is_not_believed():
    run = one(suite(case("test_b"), timestamp="9998-01-01"))
    assert run.started_at == 1.7e9
    assert "time" in run.lost


@pytest.fixture
def zone(monkeypatch):
    """What this machine's clock shows."""
    if not hasattr(time, "tzset"):
        pytest.skip("Windows' zone is the machine's")

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("here", "said", "began"),
    [
        ("JST-9", "2023-11-15T07:13:20", 1_700_000_000),  # the file was written here
        ("UTC", "2023-11-15T07:13:20", 1_700_000_000),  # and there: no file is older than its report
        ("UTC", "2023-11-14T22:12:20", 1_699_999_940),
        ("JST-9", "2023-11-14T22:13:20+00:00", 1_700_000_000),
        ("UTC", "2023-11-15T07:13:20Z", 1_700_032_400),  # a zone that is told is believed
    ],
)
def test_time_without_its_zone_is_that_of_here_and_before_its_file(zone, here, said, began):
    zone(here)
    assert one(suite(case("test_b"), timestamp=said)).started_at == began


def test_no_run_begins_later_than_it_was_imported():
    now = replace(ORIGIN, now=1_700_000_000)
    run = one(suite(case("test_b"), timestamp="2023-11-15T07:13:20Z"), origin=now)
    assert run.started_at == 1_700_000_000


def test_time_may_stand_at_the_root_or_at_the_tests():
    stamp = 'timestamp="2026-01-01T00:00:00+01:00"'
    for text in (
        suite(case("test_b")).replace("<testsuites", f"<testsuites {stamp}"),
        suite(case("test_b")).replace("<testcase", f"<testcase {stamp}"),
        suite(f'<testsuite name="inner" {stamp}>{case("test_b")}</testsuite>'),
    ):
        run = one(text)
        assert run.started_at == 1_767_222_000
        assert "time" not in run.lost


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0,512", 0.512),
        ("1,5", 1.5),
        ("12,3456", 12.3456),
        ("1,204", 1204),
        ("1,204.5", 1204.5),
        ("1,2,3", 123),
    ],
)
def test_comma_of_a_time_is_a_decimal_one_where_it_cannot_part_thousands(written, seconds):
    run = one(suite(case("test_b").replace("0.5", written)))
    assert run.tests[0].attempts[0].call_s == seconds


def test_suites_of_different_tests_are_one_run():
    text = f"<testsuites>{suite(case('test_a'))[12:-13]}{suite(case('test_b'))[12:-13]}</testsuites>"
    assert list(outcomes(one(text))) == ["tests/test_a.py::test_a", "tests/test_a.py::test_b"]


def jest(*suites: str) -> str:
    return f"<testsuites>{''.join(suites)}</testsuites>"


def described(name: str, *cases: str) -> str:
    return f'<testsuite name="{name}">{"".join(cases)}</testsuite>'


def test_same_name_in_two_suites_of_another_tool_is_two_tests_of_one_run():
    works, fails = case("works", classname="works"), case("works", '<failure message="boom"/>', "works")
    run = one(jest(described("Button", works, case("clicks", "", "c")), described("Input", fails)))
    assert outcomes(run) == {
        "Button::works::works": ["passed"],
        "c::clicks": ["passed"],
        "Input::works::works": ["failed"],
    }
    many = one(jest(*(described(f"file{number}", works) for number in range(250))))
    assert len(many.tests) == 250
    nested = one(jest(described("outer", works, described("inner", fails))))
    assert list(outcomes(nested)) == ["outer::works::works", "outer::inner::works::works"]


def test_suite_of_another_tool_that_repeats_is_another_run():
    works, fails = case("works", classname="works"), case("works", '<failure message="boom"/>', "works")
    runs = read(jest(described("Button", works), described("Button", fails)))
    assert [outcomes(run) for run in runs] == [{"works::works": ["passed"]}, {"works::works": ["failed"]}]


def test_suites_of_pytest_may_have_any_name(tmp_path):
    (tmp_path / "test_a.py").touch()
    text = jest(*(described(name, case("test_b", classname="test_a")) for name in ("linux", "windows")))
    runs = read(text, origin=replace(ORIGIN, root=tmp_path))
    assert [list(outcomes(run)) for run in runs] == [["test_a.py::test_b"]] * 2


SUREFIRE = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="3.0" name="org.acme.TillTest" time="1,204.5"
           tests="4" errors="1" skipped="1" failures="0" flakes="1">
  <properties><property name="java.version" value="21"/></properties>
  <testcase name="opens" classname="org.acme.TillTest" time="0.1">
    <flakyFailure message="stuck" type="org.acme.StuckError"><stackTrace>org.acme.StuckError: stuck
\tat org.acme.TillTest.opens(TillTest.java:9)</stackTrace></flakyFailure>
  </testcase>
  <testcase name="closes" classname="org.acme.TillTest" time="0.2">
    <error message="null" type="java.lang.NullPointerException">java.lang.NullPointerException</error>
    <rerunError message="null" type="java.lang.NullPointerException"><stackTrace>again</stackTrace></rerunError>
  </testcase>
  <testcase name="counts" classname="org.acme.TillTest"><skipped message="later"/></testcase>
  <testcase name="rings" classname="org.acme.TillTest" time="1,200"/>
</testsuite>
"""


def test_surefire_tells_its_reruns_so_they_are_attempts():
    run = one(SUREFIRE)
    assert outcomes(run) == {
        "org.acme.TillTest::opens": ["failed", "passed"],
        "org.acme.TillTest::closes": ["error", "error"],
        "org.acme.TillTest::counts": ["skipped"],
        "org.acme.TillTest::rings": ["passed"],
    }
    assert run.counts == {"passed": 2, "error": 1, "skipped": 1, "rerun": 2, "collected": 4}
    assert "attempts" not in run.lost
    assert run.duration_s == 1204.5
    assert run.tests[3].attempts[0].call_s == 1200
    assert [f.exception for f in run.tests[1].failures] == ["java.lang.NullPointerException"]


GTEST = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="1" disabled="1" errors="0" time="0.035" timestamp="2026-01-01T10:00:00.5" name="AllTests">
  <testsuite name="Till" tests="3" failures="1" disabled="1" skipped="0" errors="0" time="0.035">
    <testcase name="Opens" file="till.cc" line="7" status="run" result="completed" time="0.01" classname="Till" />
    <testcase name="Closes" status="run" result="completed" time="0.02" classname="Till">
      <failure message="till.cc:12&#x0A;Expected: 1&#x0A;  Actual: 2" type=""><![CDATA[till.cc:12
Expected: 1
  Actual: 2]]></failure>
    </testcase>
    <testcase name="DISABLED_Rings" status="notrun" result="suppressed" time="0." classname="Till" />
    <testcase name="Waits" status="run" result="skipped" time="0." classname="Till"><skipped message="not here"/></testcase>
  </testsuite>
</testsuites>
"""


def test_gtest_tells_disabled_tests_as_skipped():
    run = one(GTEST)
    assert outcomes(run) == {
        "Till::Opens": ["passed"],
        "Till::Closes": ["failed"],
        "Till::DISABLED_Rings": ["skipped"],
        "Till::Waits": ["skipped"],
    }
    assert run.tests[1].failures[0].message.startswith("till.cc:12\nExpected")


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        (suite(case("test_b"), failures="2"), "counts 2 failures"),
        (suite(case("test_b"), errors="1"), "counts 1 errors"),
        (suite(case("test_b")).replace("<testsuites>", '<testsuites failures="3">'), "counts 3 failures"),
        (suite(f'<testsuite name="inner" failures="4">{case("test_b")}</testsuite>'), "counts 4 failures"),
        (suite('<error message="no set-up"/>' + case("test_b"), errors="0"), "tells error: no set-up"),
        (suite(f'<testsuite name="inner"><failure>boom</failure>{case("test_b")}</testsuite>'), "boom"),
        (
            (
                '{"created": 1.7e9, "exitcode": 1, "root": "", "summary": {}, '
                '"tests": [{"nodeid": "a.py::b", "outcome": "passed"}]}'
            ),
            "exit 1",
        ),
        (
            (
                '{"created": 1.7e9, "exitcode": 0, "root": "", "summary": {}, '
                '"tests": [{"nodeid": "a.py::b", "outcome": "failed"}]}'
            ),
            "exit 0",
        ),
        (
            (
                '{"results": {"tool": {"name": "x"}, "summary": {"failed": 1}, '
                '"tests": [{"name": "b", "status": "passed", "duration": 1}]}}'
            ),
            "counts 1 failures",
        ),
    ],
)
def test_report_that_contradicts_itself_is_not_green(text, doubt):
    run = one(text)
    assert run.status is Status.FAILED
    assert doubt in run.doubts[0]


@pytest.mark.parametrize(
    ("said", "stages", "outcome"),
    [
        ("passed", '"call": {"outcome": "failed", "longrepr": "x"}', Outcome.FAILED),
        ("unheard-of", '"call": {"outcome": "passed"}', Outcome.FAILED),
        ("error", '"setup": {"outcome": "failed", "longrepr": "x"}', Outcome.ERROR),
        ("rerun", '"teardown": {"outcome": "failed", "longrepr": "x"}', Outcome.FAILED),
    ],
)
def test_json_report_never_mends_what_a_stage_says(said, stages, outcome):
    test = f'{{"nodeid": "a.py::b", "outcome": "{said}", {stages}}}'
    run = one(f'{{"created": 1.7e9, "exitcode": 0, "root": "", "summary": {{}}, "tests": [{test}]}}')
    assert run.tests[0].outcome is outcome
    assert run.status is Status.FAILED


def test_log_that_breaks_off_is_interrupted_and_proves_nothing():
    lines = (RECORDED / "rerunfailures.reportlog.jsonl").read_bytes().splitlines(keepends=True)
    for torn in (b"".join(lines[:-1]), b"".join(lines[:-8]) + lines[-8][:40]):
        run = one(torn)
        assert run.status is Status.INTERRUPTED
        assert trend.row(run).suspect


def test_log_with_a_torn_line_in_its_middle_is_refused_by_its_number():
    lines = (RECORDED / "rerunfailures.reportlog.jsonl").read_bytes().splitlines(keepends=True)
    with pytest.raises(Unimportable, match="Line 5"):
        read(b"".join([*lines[:4], lines[4][:30] + b"\n", *lines[5:]]))


def test_test_that_began_and_never_ended_is_not_run():
    start = '{"$report_type": "TestReport", "nodeid": "a.py::b", "when": "setup", "outcome": "passed", "duration": 0.1}'
    run = one(f'{start}\n{{"$report_type": "SessionFinish", "exitstatus": 0}}\n')
    assert run.not_run == ("a.py::b",)
    assert run.status is Status.FAILED


def test_collection_that_failed_is_a_collector_and_the_verdict():
    text = "<error message=\"collection failure\">tests/test_b.py:1: in &lt;module&gt;\n    import gone\nE   ModuleNotFoundError: No module named 'gone'</error>"
    run = one(suite(case("test_b") + case("tests.test_b", text, classname="")))
    assert run.status is Status.COLLECTION_FAILED
    [collector] = run.collectors
    assert collector.id == "tests/test_b.py"
    assert collector.failure is not None
    assert collector.failure.exception == "ModuleNotFoundError"
    assert collector.failure.at is not None
    assert collector.failure.at.source == "import gone"


def test_internal_error_of_pytest_is_the_verdict():
    run = one(suite(case("internal", '<error message="internal error">boom</error>', classname="pytest")))
    assert run.status is Status.INTERNAL_ERROR


def test_cut_message_is_made_whole_from_the_text():
    long = "\n".join(f"E   line {number}" for number in range(99))
    text = f'<failure message="line 0&#10;line 1&#10;[+97 more lines; full report in element text]">{long}\n\na.py:3: Error</failure>'
    message = one(suite(case("test_b", text))).tests[0].failures[0].message
    assert message.splitlines()[98] == "line 98"


def test_inherited_test_keeps_the_module_of_its_class_and_not_of_its_function():
    row = '<testcase classname="tests.test_a.TestB" name="test_c" file="tests/base.py" line="3"/>'
    assert list(outcomes(one(suite(row)))) == ["tests/test_a.py::TestB::test_c"]
    row = '<testcase classname="tests.base.TestB" name="test_c" file="tests/base.py" line="3"/>'
    assert list(outcomes(one(suite(row)))) == ["tests/base.py::TestB::test_c"]


def test_same_content_is_the_same_run_and_its_id_carries_its_time():
    text = suite(case("test_b"), timestamp="2026-01-01T00:00:00+01:00")
    first, again, other = one(text), one(text), one(text + " ")
    assert first.id == again.id != other.id
    assert first.started_at == 1767222000
    assert int(first.id.replace("-", "")[:12], 16) == 1767222000_000
    assert first.id[14] == "7"
    assert first.id[19] in "89ab"


def test_report_without_a_time_takes_that_of_its_file_and_says_so():
    run = one(suite(case("test_b"), timestamp="yesterday"))
    assert run.started_at == 1.7e9
    assert "time" in run.lost


def test_ctrf_names_the_commit_where_nobody_else_does():
    text = (
        '{"results": {"tool": {"name": "jest"}, "summary": {"start": 1700000000000, "stop": 1700000001500},'
        '"environment": {"commit": "%s", "branchName": "main"}, "tests": [{"name": "adds", "suite": ["cart", "add"],'
        '"status": "passed", "duration": 12, "filePath": "cart.test.js"},'
        '{"name": "later", "status": "pending", "duration": 0}]}}' % ("b" * 40)
    )
    run = one(text, origin=Origin(root=NOWHERE, now=2e9))
    assert run.revision == of_commit("b" * 40, "main")
    assert one(text).revision == ORIGIN.revision
    assert outcomes(run) == {"cart.test.js::adds": ["passed"], "later": ["skipped"]}
    assert (run.started_at, run.duration_s, run.tests[0].attempts[0].call_s) == (1.7e9, 1.5, 0.012)


def test_ctrf_that_only_counts_its_retries_hides_attempts():
    text = '{"results": {"tool": {"name": "x"}, "tests": [{"name": "b", "status": "passed", "duration": 1, "retries": 2}]}}'
    assert "attempts" in one(text).lost


def ctrf(*tests: str) -> str:
    listed = ", ".join(f'{{"duration": 1, {test}}}' for test in tests)
    return f'{{"results": {{"tool": {{"name": "x"}}, "tests": [{listed}]}}}}'


def test_ctrf_of_same_names_in_several_suites_of_a_file_is_several_tests():
    row = '"filePath": "a.spec.ts", "name": "%s", "status": "%s", "suite": %s'
    run = one(
        ctrf(
            row % ("works", "failed", '["one", "deep"]'),
            row % ("works", "passed", '["two"]'),
            row % ("else", "passed", '["two"]'),
        )
    )
    assert outcomes(run) == {
        "a.spec.ts::one::deep::works": ["failed"],
        "a.spec.ts::two::works": ["passed"],
        "a.spec.ts::else": ["passed"],
    }


def test_ctrf_of_names_with_colons_in_several_files_is_several_tests():
    row = '"name": "tests::it_works", "status": "%s", "suite": ["crate"], "filePath": "crates/%s/src/lib.rs"'
    vector = '"name": "std::vector works", "status": "passed", "suite": ["%s"]'
    own = '"name": "t/test_a.py::TestB::test_c", "status": "passed", "filePath": "%s"'
    run = one(
        ctrf(
            row % ("failed", "a"),
            row % ("passed", "b"),
            vector % "A",
            vector % "B",
            own % "t/base.py",  # where the function stands that a class inherits
            '"name": "docs/a.rst::a.rst", "status": "passed", "filePath": "/ci/docs/a.rst"',
            '"name": "a::b", "status": "passed"',
        )
    )
    assert outcomes(run) == {
        "crates/a/src/lib.rs::tests::it_works": ["failed"],
        "crates/b/src/lib.rs::tests::it_works": ["passed"],
        "A::std::vector works": ["passed"],
        "B::std::vector works": ["passed"],
        "t/test_a.py::TestB::test_c": ["passed"],
        "docs/a.rst::a.rst": ["passed"],
        "a::b": ["passed"],
    }
    assert "attempts" not in run.lost
    twins = one(ctrf(row % ("failed", "a"), row.replace('crate"', 'other"') % ("passed", "a")))
    assert list(outcomes(twins)) == [
        "crates/a/src/lib.rs::crate::tests::it_works",
        "crates/a/src/lib.rs::other::tests::it_works",
    ]


def test_ctrf_of_older_reporters_and_what_is_optional_and_odd_in_it_are_read():
    run = one(
        ctrf(
            '"name": "a", "status": "passed", "suite": "one > two", "retries": 0.0, "threadId": 3',
            '"name": "a", "status": "failed", "suite": "three > four", "message": ["x"], "stdout": "out"',
        )
    )
    assert outcomes(run) == {"one::two::a": ["passed"], "three::four::a": ["failed"]}
    assert "attempts" not in run.lost


def test_format_is_told_by_content_and_can_be_named():
    text = suite(case("test_b"))
    assert one(text).source == "import:junit"
    assert one("\ufeff\n " + text).source == "import:junit"
    assert one(text.encode("utf-16")).source == "import:junit"
    with pytest.raises(Unimportable, match="No JSON"):
        read(text, wanted="ctrf")
    with pytest.raises(Unimportable, match="no JUnit"):
        read("<html><body/></html>")
    with pytest.raises(Unimportable, match="no report that is known"):
        read('{"name": "left-pad"}')


DOCTEST = """001 Adds up
002
003     >>> total(
004     ...     1)
Expected:
    3
Got:
    2

/home/ci/shop/cart.py:3: DocTestFailure"""


def test_failed_doctest_has_the_cause_that_a_run_of_ours_gives_it():
    text = DOCTEST.replace(">>>", "&gt;&gt;&gt;")
    inside = f"<failure message='{text}'>{text}</failure>"
    [failure] = one(suite(case("shop.cart.total", inside, classname="shop.cart"))).tests[0].failures
    assert (failure.exception, failure.message) == (
        "doctest.DocTestFailure",
        "Expected:\n    3\nGot:\n    2\n",
    )
    [frame] = failure.frames
    assert (frame.line, frame.source) == (3, "total(\n    1)")


def test_doctest_that_raised_has_its_exception_as_the_cause():
    raised = """001     >>> total(0)
UNEXPECTED EXCEPTION: LookupError('no till\\nat all')
Traceback (most recent call last):
  File "/usr/lib/python3.11/doctest.py", line 1353, in __run
    exec(compile(example.source, filename, "single",
shop.LookupError: no till
at all
/home/ci/shop/cart.py:1: UnexpectedException"""
    text = raised.replace(">>>", "&gt;&gt;&gt;").replace("'", "&apos;")
    inside = f"<failure message='{text}'>{text}</failure>"
    [failure] = one(suite(case("shop.cart.total", inside, classname="shop.cart"))).tests[0].failures
    assert (failure.exception, failure.message) == ("shop.LookupError", "shop.LookupError: no till\nat all")
    assert failure.frames[0].source == "total(0)"


GROUP = """Traceback (most recent call last):
  File "tests/test_a.py", line 3, in test_b
    one()
ValueError: 1

The above exception was the direct cause of the following exception:

  + Exception Group Traceback (most recent call last):
  |   File "tests/test_a.py", line 5, in test_b
  |     raise Several("eg", [ValueError(1), KeyError(2)]) from error
  | tests.test_a.Several: eg (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "tests/test_a.py", line 3, in one
    |     raise ValueError(1)
    | ValueError: 1
    +---------------- 2 ----------------
    | KeyError: 2
    +------------------------------------"""


def test_exception_group_is_told_by_its_own_frames_and_not_by_those_in_it():
    for text, message in (
        (GROUP, "tests.test_a.Several: eg (2 sub-exceptions)"),
        (GROUP[GROUP.index("+ E") :], "KeyError(2) [single exception in Several]"),
    ):
        inside = f'<failure message="{message}">{text.replace(chr(34), "&quot;")}</failure>'
        [failure] = one(suite(case("test_b", inside))).tests[0].failures
        assert failure.exception == "tests.test_a.Several"
        assert [(frame.line, frame.source) for frame in failure.frames] == [
            (5, 'raise Several("eg", [ValueError(1), KeyError(2)]) from error')
        ]


def logged(*entries: dict, **crash: object) -> str:
    """A reportlog of one failed test with these entries of its traceback."""
    crashed = {"path": "tests/test_a.py", "lineno": 7, "message": "KeyError: 'k'", **crash}
    traceback = {"reprentries": [{"type": "ReprEntry", "data": data} for data in entries], "style": "long"}
    report = {
        "$report_type": "TestReport",
        "nodeid": "tests/test_a.py::test_b",
        "when": "call",
        "outcome": "failed",
        "longrepr": {"reprcrash": crashed, "reprtraceback": traceback},
    }
    end = report | {"when": "teardown", "outcome": "passed", "longrepr": None}
    return (
        "\n".join(map(json.dumps, (report, end, {"$report_type": "SessionFinish", "exitstatus": 1}))) + "\n"
    )


def reported(text: str, **crash: object) -> str:
    """A json-report of one failed test with that longrepr, as `--tb=short` has its traceback."""
    stage = {
        "outcome": "failed",
        "longrepr": text,
        "traceback": [{"path": "tests/test_a.py", "lineno": 7, "message": "in test_b"}] if crash else [],
        "crash": {"path": "tests/test_a.py", "lineno": 7, "message": "KeyError: 'k'", **crash},
    }
    test = {"nodeid": "tests/test_a.py::test_b", "outcome": "failed", "call": stage}
    return json.dumps({"created": 1.7e9, "exitcode": 1, "root": "", "summary": {}, "tests": [test]})


SHORT = "tests/test_a.py:7: in test_b\n    raise KeyError('k')\nE   KeyError: 'k'"
NATIVE = "  File \"tests/test_a.py\", line 7, in test_b\n    raise KeyError('k')\n"
AT = {"path": "tests/test_a.py", "lineno": 7}


@pytest.mark.parametrize(
    "text",
    [
        reported(SHORT, lineno=7),
        reported(f"[gw0] linux -- Python 3.11.7 /bin/python\n{SHORT}", lineno=7),
        logged(
            {
                "lines": ["    raise KeyError('k')", "E   KeyError: 'k'"],
                "reprfileloc": {**AT, "message": "in test_b"},
            }
        ),
        logged({"lines": ["Traceback (most recent call last):\n", NATIVE, "KeyError: 'k'\n"]}),
    ],
    ids=["json-report short", "json-report of a worker", "reportlog short", "reportlog native"],
)
def test_short_and_native_tracebacks_tell_the_failure_that_a_long_one_does(text):
    [failure] = one(text).tests[0].failures
    assert (failure.exception, failure.message) == ("KeyError", "KeyError: 'k'")
    [frame] = failure.frames
    assert (frame.path, frame.line, frame.function) == ("tests/test_a.py", 7, "test_b")
    assert frame.source == "raise KeyError('k')"


@pytest.mark.parametrize("text", [reported(""), logged()], ids=["json-report", "reportlog"])
def test_failure_without_a_traceback_is_where_it_crashed(text):
    [failure] = one(text).tests[0].failures
    assert failure.exception == "KeyError"
    assert [(frame.path, frame.line) for frame in failure.frames] == [("tests/test_a.py", 7)]


def test_log_whose_lines_are_no_list_is_read():
    assert one(logged({"lines": True, "reprfileloc": {**AT, "message": "KeyError"}})).status is Status.FAILED


def test_worker_of_xdist_is_no_part_of_what_a_test_said():
    worker = "[gw0] linux -- Python 3.11.7 /bin/python"
    stages = {
        "test_b": ("failed", "call", "[XPASS(strict)] bug 7"),
        "test_c": ("skipped", "setup", "('/x/test_a.py', 6, 'Skipped: needs a GPU')"),
    }
    tests = [
        {
            "nodeid": f"tests/test_a.py::{name}",
            "outcome": outcome,
            "setup": {"outcome": "passed", "longrepr": worker},
            phase: {"outcome": outcome, "longrepr": f"{worker}\n{text}"},
        }
        for name, (outcome, phase, text) in stages.items()
    ]
    report = {"created": 1.7e9, "exitcode": 1, "root": "", "summary": {}, "tests": tests}
    failed, skipped = one(json.dumps(report)).tests
    assert failed.failures[0].message == "[XPASS(strict)] bug 7"
    assert skipped.attempts[0].reason == "needs a GPU"
