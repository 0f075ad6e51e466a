"""What goes out comes back: all of it as JSON lines, and within their bounds as JUnit and CTRF."""

import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_recall.errors import BadRequest, Unimportable
from pytest_recall.exports import formats as exports
from pytest_recall.exports import placing
from pytest_recall.history import trend
from pytest_recall.history.fingerprint import fingerprint
from pytest_recall.imports import formats
from pytest_recall.imports.places import Places
from pytest_recall.imports.report import Origin
from pytest_recall.imports.revisions import of_commit
from pytest_recall.model import (
    Attempt,
    Cancelled,
    Collector,
    Crashed,
    Environment,
    Failure,
    Finished,
    Frame,
    Interrupted,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Status,
    Target,
    TimedOut,
)
from pytest_recall.model import Test as OneTest
from pytest_recall.store import shape

NOWHERE = Path("/nowhere/at/all")


def failed(phase="call", message="AssertionError: no \x00 \x1b[31m"):
    frames = (Frame(path="a.py", line=3, source="assert no", project=True),)
    prints = fingerprint(exception="AssertionError", message=message, frames=frames, root="/p", test_id="x")
    return Failure(
        phase=phase,
        exception="AssertionError",
        message=message,
        fingerprint=prints,
        frames=frames,
        text=f">   assert no\nE   {message}\n\na.py:3: AssertionError",
        captured=(("Captured stdout call", "out\n"), ("Captured stderr call", "err\n")),
    )


def run(*tests: OneTest, **more) -> Run:
    values = {
        "id": "018bcfe5-6800-7ab2-a5b8-0812055dd0bf",
        "started_at": 1.7e9,
        "duration_s": 1.25,
        "target": Target(root="/p", python="/p/python", source="explicit"),
        "rootdir": "/p",
        "request": RunRequest(tests=("a.py",)),
        "status": Status.FAILED,
        "terminations": (Finished(exit_code=1),),
        "revision": Revision(digest="d", commit="c" * 40, branch="main"),
        "environment": Environment(os="Linux", python="3.11.7", pytest="9.2.0", plugins=("x-1",)),
        "collected": len(tests),
        "tests": tests,
    }
    return Run(**values | more)


EVERY = run(
    OneTest(
        id="t/test_a.py::test_pass", attempts=(Attempt(outcome=Outcome.PASSED, setup_s=0.5, call_s=0.25),)
    ),
    OneTest(
        id="t/test_a.py::TestA::test_fail[x::y]",
        attempts=(Attempt(outcome=Outcome.FAILED, order=1, failures=(failed(), failed("teardown"))),),
    ),
    OneTest(
        id="t/test_a.py::test_error",
        attempts=(Attempt(outcome=Outcome.ERROR, phase="setup", order=2, failures=(failed("setup"),)),),
    ),
    OneTest(
        id="t/test_a.py::test_skip", attempts=(Attempt(outcome=Outcome.SKIPPED, order=3, reason="no\x07"),)
    ),
    OneTest(
        id="t/test_a.py::test_xfail", attempts=(Attempt(outcome=Outcome.XFAILED, order=4, reason="known"),)
    ),
    OneTest(id="t/test_a.py::test_xpass", attempts=(Attempt(outcome=Outcome.XPASSED, order=5),)),
    OneTest(id="t/test_a.py::test_hang", attempts=(Attempt(outcome=Outcome.TIMED_OUT, order=6),)),
    OneTest(id="t/test_a.py::test_die", attempts=(Attempt(outcome=Outcome.CRASHED, order=7),)),
    OneTest(
        id="t/test_a.py::test_flaky",
        attempts=(
            Attempt(outcome=Outcome.FAILED, order=8, failures=(failed(),)),
            Attempt(outcome=Outcome.PASSED, order=8, properties=(("k", "v"),)),
        ),
    ),
    OneTest(
        id="t/test_a.py::test_repeated",
        attempts=(
            Attempt(outcome=Outcome.PASSED, order=9),
            Attempt(outcome=Outcome.FAILED, order=10, repetition=1, failures=(failed(),)),
        ),
    ),
    OneTest(
        id="t/test_\ud800.py::test_name", attempts=(Attempt(outcome=Outcome.PASSED, worker="gw1", order=11),)
    ),
    collected=14,
    deselected=1,
    not_run=("t/test_a.py::test_never",),
    collectors=(
        Collector(id="t/test_b.py", outcome=Outcome.ERROR, failure=failed("collect", "ImportError: gone")),
        Collector(id="t/test_c.py", outcome=Outcome.SKIPPED, reason="not here"),
    ),
    terminations=(
        Crashed(exit_code=-11, signal="SIGSEGV"),
        TimedOut(limit_s=5.0),
        Cancelled(),
        Interrupted(reason="x"),
    ),
    status=Status.TIMED_OUT,
    notes=("noted",),
)


def export(kind: str, *runs: Run) -> bytes:
    out = io.BytesIO()
    writer = exports.writer(kind, out, shape.dump)
    for each in runs:
        writer.add(each)
    writer.close()
    return out.getvalue()


def back(data: bytes) -> formats.Found:
    return formats.read(data, Origin(root=NOWHERE), at=0.0, places=Places(NOWHERE), load=shape.load)


def test_lines_give_back_equal_runs():
    other = replace(EVERY, id="018bcfe5-6800-7ab2-a5b8-0812055dd0be", tests=(), status=Status.NO_TESTS)
    assert back(export("jsonl", EVERY, other)) == formats.Found(runs=(EVERY, other))


def test_lines_that_break_off_give_the_whole_runs_and_name_the_torn_one():
    other = replace(EVERY, id="018bcfe5-6800-7ab2-a5b8-0812055dd0be")
    data = export("jsonl", EVERY, other)
    found = back(b"\n".join(data.split(b"\n")[:-5]))
    assert found.runs == (EVERY,)
    assert found.broken == (f"run {other.id} is not whole: 8 of 11 tests are there",)
    with pytest.raises(Unimportable, match="7 of 11"):
        back(b"\n".join(export("jsonl", EVERY).split(b"\n")[:8]))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"started_at": 1e300}, "at no time that can be"),
        ({"started_at": -1.0}, "at no time that can be"),
        ({"duration_s": -1.0}, "at no time that can be"),
        ({"id": "ffffffff-6767-7ab2-a5b8-0812055dd0bf"}, "an id of another time"),
        ({"id": "../../etc/passwd"}, "is no run id"),
        ({"tests": (OneTest(id="a", attempts=()),)}, "not whole"),
        (
            {"tests": (OneTest(id="a", attempts=(Attempt(outcome=Outcome.PASSED, call_s=1e300),)),)},
            "not whole",
        ),
    ],
)
def test_lines_that_would_spoil_a_memory_are_refused(wrong, why):
    with pytest.raises(Unimportable, match=why):
        back(export("jsonl", replace(EVERY, **wrong)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_lines_give_whole_runs_or_an_error(data):
    whole = export("jsonl", EVERY, replace(EVERY, id="018bcfe5-6800-7ab2-a5b8-0812055dd0be"))
    at = data.draw(st.integers(0, len(whole)))
    cut = whole[:at] + data.draw(st.binary(max_size=20)) + whole[at + data.draw(st.integers(0, 40)) :]
    try:
        found = back(cut)
    except Unimportable as error:
        assert str(error)  # noqa: PT017 - either of the two is right
    else:
        assert all(len(each.tests) == 11 for each in found.runs)


def told(found: Run) -> dict[str, list[str]]:
    return {test.id: [attempt.outcome.value for attempt in test.attempts] for test in found.tests}


@pytest.mark.parametrize(
    ("kind", "differing"),
    [
        (
            "junit",
            {
                "t/test_a.py::test_xpass": ["passed"],
                "t/test_a.py::test_repeated": ["failed"],  # a pass that does not count has no place in it
                "t/test_#xD800.py::test_name": ["passed"],
            },
        ),
        ("ctrf", {"t/test_\\ud800.py::test_name": ["passed"]}),
    ],
)
def test_other_formats_give_back_outcomes_and_causes(kind, differing):
    [found] = back(export(kind, EVERY)).runs
    expected = {name: each for name, each in told(EVERY).items() if "\ud800" not in name}
    assert told(found) == expected | {"t/test_a.py::test_never": ["not_run"]} | differing
    assert [(one.id, one.outcome) for one in found.collectors] == [
        (one.id, one.outcome) for one in EVERY.collectors
    ]
    assert (found.started_at, found.duration_s) == (1.7e9, 1.25)
    assert found.status is EVERY.status
    assert not any(test.failures for test in found.tests if test.id.endswith(("_hang", "_die")))
    causes = {test.id: test.failures[0].at for test in found.tests if test.failures}
    assert causes["t/test_a.py::test_error"] == EVERY.tests[2].failures[0].at


def test_junit_of_several_runs_comes_back_as_these_runs_whatever_was_exported_with_them():
    runs = [
        run(
            OneTest(id=f"t/test_{n}.py::test_a", attempts=(Attempt(outcome=outcome, failures=failures),)),
            id=f"018bcfe5-6800-7ab2-a5b8-0812055dd0b{n}",
            started_at=1.7e9 + n,
            status=status,
            terminations=(Finished(exit_code=int(status is not Status.PASSED)),),
        )
        for n, (outcome, failures, status) in enumerate(
            [
                (Outcome.PASSED, (), Status.PASSED),
                (Outcome.FAILED, (failed(),), Status.FAILED),
                (Outcome.PASSED, (), Status.TIMED_OUT),
            ]
        )
    ]
    found = back(export("junit", *runs)).runs
    assert [(one.started_at, one.status is Status.PASSED) for one in found] == [
        (1.7e9, True),
        (1.7e9 + 1, False),
        (1.7e9 + 2, False),
    ]
    assert [told(one) for one in found] == [told(one) for one in runs]
    alone = [one.id for each in runs for one in back(export("junit", each)).runs]
    assert [one.id for one in found] == alone == sorted(set(alone))
    with pytest.raises(Unimportable, match="5,001 runs"):
        back(export("junit", *[replace(runs[0], tests=())] * 5_001))


@pytest.mark.parametrize("kind", ["junit", "ctrf"])
def test_what_a_report_of_ours_says_of_its_run_is_read(kind):
    own = run(
        OneTest(id="t/test_a.py::test_a", attempts=(Attempt(outcome=Outcome.PASSED),)),
        status=Status.CRASHED,
        terminations=(
            Crashed(exit_code=-11),
            Finished(exit_code=0),
        ),  # and the rest was run without the culprit
    )
    [found] = back(export(kind, own)).runs
    assert found.revision == of_commit("c" * 40, "main")
    assert (found.environment.python, found.environment.pytest) == ("3.11.7", "9.2.0")
    assert not {"environment", "exit", "revision"} & set(found.lost)
    assert (found.status, found.terminations) == (Status.CRASHED, own.terminations[1:])
    [elsewhere] = back(export(kind, replace(own, environment=Environment(python="3.12.1")))).runs
    assert trend.row(found).environment != trend.row(elsewhere).environment

    cut = replace(own, terminations=(TimedOut(limit_s=5.0),), status=Status.TIMED_OUT)
    [found] = back(export(kind, cut)).runs
    assert (found.status, trend.row(found).suspect) == (Status.TIMED_OUT, True)
    edited = replace(own, revision=replace(own.revision, dirty=True))
    [found] = back(export(kind, edited)).runs
    assert (found.revision.commit, b"c" * 40 in export(kind, edited)) == ("", False)


def test_report_that_names_a_run_of_ours_is_no_part_of_a_build():
    text = export("junit", run(OneTest(id="A::works", attempts=(Attempt(outcome=Outcome.PASSED),))))
    text = text.replace(b'name="pytest"', b'name="A"')
    assert back(text).part is None
    assert back(text.replace(b"pytest-recall.run", b"x")).part is not None


@pytest.mark.parametrize("kind", ["junit", "ctrf"])
@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("collection_failed", "passed"),
        ("collection_failed", "running"),
        ("018bcfe5-6800-7ab2-a5b8-0812055dd0bf", "../../etc/passwd"),
        ("c" * 40, "HEAD"),
        (trend.row(EVERY).environment, "x" * 500),
    ],
)
def test_what_a_report_says_wrongly_of_a_run_of_ours_is_not_believed(kind, said, instead):
    data = export(kind, replace(EVERY, status=Status.COLLECTION_FAILED))
    assert said.encode() in data
    [found] = back(data.replace(said.encode(), instead.encode())).runs
    assert found.status is Status.COLLECTION_FAILED
    assert instead not in (found.revision.commit, found.environment.distributions)


@pytest.mark.parametrize("kind", ["junit", "ctrf"])
@pytest.mark.parametrize(
    "name",
    [
        "t/[x]/test_b.py::test_c",
        "t/[x]/test_b.py::TestA::test_c[p/q[1]::r]",
        "t/test_b.py::test_c[a.py::b]",
        "adds [a/b]",
    ],
)
def test_name_with_brackets_comes_back(kind, name):
    [found] = back(export(kind, run(OneTest(id=name, attempts=(Attempt(outcome=Outcome.PASSED),))))).runs
    assert list(told(found)) == [name]


# What junit-10.xsd allows: the attributes of an element, and the elements in it.
RERUN = ({"message", "type"}, {"stackTrace", "system-out", "system-err"})
RESULTS = {"skipped", "error", "failure", "rerunFailure", "rerunError", "flakyFailure", "flakyError"}
XSD = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "time", "classname"}, RESULTS | {"system-out", "system-err"}),
    **dict.fromkeys(("skipped", "error", "failure"), ({"type", "message"}, set())),
    **dict.fromkeys(("rerunFailure", "rerunError", "flakyFailure", "flakyError"), RERUN),
    **dict.fromkeys(("stackTrace", "system-out", "system-err"), (set(), set())),
}


def test_junit_stays_within_the_schema_of_its_consumers():
    root = ET.fromstring(export("junit", EVERY, EVERY))
    for element in root.iter():
        attributes, children = XSD[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
        if element.tag in RERUN[1] or element.tag.startswith(("rerun", "flaky")):
            assert element.tag == "stackTrace" or element.tag.startswith("system") or element.get("type")
    first, second = root
    assert first.get("tests") == str(len(first.findall("testcase"))) == second.get("tests")
    assert (first.get("failures"), first.get("errors"), first.get("skipped")) == ("2", "6", "3")


# What the schema of CTRF 1.0 allows; every object in it is closed.
CTRF = {
    "": {"reportFormat", "specVersion", "reportId", "timestamp", "generatedBy", "results"},
    "results": {"tool", "summary", "tests", "environment"},
    "tool": {"name", "version"},
    "summary": {
        "tests",
        "passed",
        "failed",
        "skipped",
        "pending",
        "other",
        "flaky",
        "start",
        "stop",
        "duration",
    },
    "test": {
        *(
            "name",
            "status",
            "duration",
            "suite",
            "message",
            "trace",
            "rawStatus",
            "filePath",
            "retries",
            "retryAttempts",
        ),
        *("flaky", "stdout", "stderr", "threadId", "extra"),
    },
    "attempt": {"attempt", "status", "duration", "message", "trace", "stdout", "stderr"},
    "environment": {"commit", "branchName", "osPlatform", "healthy", "extra"},
}


def test_ctrf_stays_within_its_schema():
    document = json.loads(export("ctrf", EVERY))
    results = document["results"]
    summary, tests = results["summary"], results["tests"]
    assert set(document) <= CTRF[""]
    for name in ("tool", "summary", "environment"):
        assert set(results[name]) <= CTRF[name], name
    for test in tests:
        assert set(test) <= CTRF["test"]
        assert test["status"] in {"passed", "failed", "skipped", "pending", "other"}
        assert type(test["duration"]) is int
        for attempt in test.get("retryAttempts", []):
            assert set(attempt) <= CTRF["attempt"]
    assert sum(summary[name] for name in ("passed", "failed", "skipped", "pending", "other")) == len(tests)
    assert all(type(number) is int for number in summary.values())
    assert summary["flaky"] == 1
    with pytest.raises(BadRequest, match="CTRF holds one run"):
        export("ctrf", EVERY, EVERY)


@pytest.mark.parametrize(
    "status", [status for status in Status if status not in (Status.PASSED, Status.NO_TESTS)]
)
@pytest.mark.parametrize("kind", ["junit", "ctrf"])
def test_what_was_not_green_is_green_for_no_consumer(kind, status):
    passing = OneTest(id="t/test_a.py::test_pass", attempts=(Attempt(outcome=Outcome.PASSED),))
    data = export(kind, run(passing, status=status))
    if kind == "junit":
        [suite] = ET.fromstring(data)
        assert int(suite.get("failures")) + int(suite.get("errors")) > 0
    else:
        assert json.loads(data)["results"]["summary"]["failed"] > 0
    [found] = back(data).runs
    assert found.status is not Status.PASSED


def test_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.xml"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), placing.placed(path) as out:
        out.write(b"half" * (1 // 0))
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]
    with placing.placed(path) as out:
        out.write(b"new")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["new"]


def test_folders_and_devices_are_no_place_for_a_file(tmp_path):
    for place, why in (
        (tmp_path, "is a folder"),
        (Path("/dev/null"), "is a device"),
        (tmp_path / "missing" / "out.xml", "There is no folder"),
    ):
        with pytest.raises(BadRequest, match=why), placing.placed(place):
            pass
