"""Two environments and two spaces beside each other: the likeliest reason first, and nothing averaged away."""

from pytest_recall.history import beside, compare
from pytest_recall.history.fingerprint import fingerprint
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
)
from pytest_recall.model import Test as OneTest

HERE = Environment(
    os="Linux",
    arch="x86_64",
    python="3.11.7",
    pytest="9.2.0",
    plugins=("pytest-xdist-3.6",),
    distributions="d1",
    packages=(
        "MarkupSafe-2.0.1",
        "PyYAML-6.0",
        "jinja2-2.11",
        "pytest-9.2.0",
        "pytest-xdist-3.6",
        "six-1.16",
    ),
)


def elsewhere(**more) -> Environment:
    values = {name: getattr(HERE, name) for name in HERE.__slots__}
    return Environment(**values | {"distributions": "d2"} | more)


def failure(message: str, *paths: str, exception: str = "SystemError") -> Failure:
    frames = tuple(Frame(path=path, line=1, project="-packages" not in path) for path in paths)
    prints = fingerprint(exception=exception, message=message, frames=frames, root="/p", test_id="x")
    return Failure(phase="call", exception=exception, message=message, fingerprint=prints, frames=frames)


def test_packages_in_failing_frames_come_first_then_interpreter_plugins_machine_and_the_rest():
    there = elsewhere(
        os="Windows",
        python="3.12.1",
        workers=4,
        plugins=("pytest-xdist-3.8",),
        packages=(
            "MarkupSafe-2.1.5",
            "PyYAML-6.1",
            "jinja2-3.1",
            "pytest-9.2.0",
            "pytest-xdist-3.8",
            "zope-5",
        ),
    )
    failures = [
        failure("no", "a.py", "/env/lib/python3.12/site-packages/markupsafe/__init__.py"),
        failure("no", ".venv/lib/python3.12/site-packages/markupsafe/_native.py"),
        failure("cannot import name 'x' from 'yaml'", "a.py"),
    ]
    assert beside.differing(HERE, there, failures) == (
        "markupsafe: 2.0.1 → 2.1.5, in frames of 2 failures",
        "pyyaml: 6.0 → 6.1, named by failures",
        "python: 3.11.7 → 3.12.1",
        "pytest-xdist: 3.6 → 3.8",
        "os: Linux → Windows",
        "workers: none → 4",
        "jinja2: 2.11 → 3.1",
        "six: 1.16 → none",
        "zope: none → 5",
    )


def test_what_is_missing_on_one_side_is_a_difference_only_where_both_tell_what_they_have():
    assert beside.differing(HERE, elsewhere(packages=())) == ("the installed distributions differ",)
    unknown = Environment(distributions="job linux", packages=())
    assert beside.differing(HERE, unknown) == beside.differing(unknown, HERE) == ()
    without = elsewhere(packages=HERE.packages[:-1])
    assert beside.differing(HERE, without) == ("six: 1.16 → none",)


def test_pytests_version_is_told_once():
    there = elsewhere(
        pytest="8.4.2",
        packages=tuple("pytest-8.4.2" if one.startswith("pytest-9") else one for one in HERE.packages),
    )
    assert beside.differing(HERE, there) == ("pytest: 9.2.0 → 8.4.2",)


def test_missing_module_is_the_first_suspect():
    without = elsewhere(packages=HERE.packages[:-1], python="3.9.0")
    told = beside.differing(
        HERE, without, [failure("No module named 'six'", "a.py", exception="ModuleNotFoundError")]
    )
    assert told[0] == "six: 1.16 → none, named by failures"


def test_countless_packages_are_cut():
    there = elsewhere(packages=(*HERE.packages, *(f"p{number}-1" for number in range(40))))
    told = beside.differing(HERE, there)
    assert len(told) == 13
    assert told[-1] == "… and 28 other packages"


def run(number: int, python: str, **outcomes: Outcome) -> Run:
    return Run(
        id=f"018bcfe5-6800-7ab2-a5b8-{number:012x}",
        started_at=1.7e9 + number,
        duration_s=1.0,
        target=Target(root="/p", python="/p/python", source="explicit"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.PASSED,
        terminations=(Finished(exit_code=0),),
        revision=Revision(digest="d"),
        environment=Environment(python=python),
        collected=len(outcomes),
        tests=tuple(
            OneTest(id=f"test_a.py::{name}", attempts=(Attempt(outcome=outcome),))
            for name, outcome in outcomes.items()
        ),
    )


def test_a_failure_in_one_job_is_not_outvoted_by_the_others_and_a_rerun_of_that_job_counts():
    good, bad, silent = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED
    jobs = [
        run(4, "3.9", a=good, b=bad, c=silent),
        run(3, "3.12", a=good, b=good, c=good),
        run(2, "3.9", a=bad, b=good, c=good),  # before the rerun
    ]
    told = {test.id[-1]: test.outcome for test in beside.joined(jobs).tests}
    assert told == {"a": good, "b": bad, "c": good}
    local = run(1, "3.11", b=good, d=good)
    difference = compare.compare(beside.joined([local]), beside.joined(jobs))
    assert difference.newly_failing == ("test_a.py::b",)
    assert difference.vanished == ("test_a.py::d",)
    assert beside.telling(jobs, difference.newly_failing, bad=True) is jobs[0]
    assert beside.telling(jobs, difference.newly_failing, bad=False) is jobs[1]
