"""Local against CI on one revision: what fails only there, the likeliest reason first, and which job said so."""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

FILES = {
    "pytest.ini": "[pytest]\n",
    "test_shop.py": """
import sys

import till


def test_total():
    assert till.total(2) == 4


def test_broken_everywhere():
    assert till.total(0) == 1


def test_door(): ...
""",
}
JOB = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_WORKFLOW": "Tests",
    "GITHUB_JOB": "py",
    "GITHUB_RUN_ID": "165",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "octo/shop",
    "GITHUB_REF_NAME": "main",
}
OLD_TILL = "def total(n):\n    return n * 2\n"
NEW_TILL = "def total(n):\n    if n:\n        raise TypeError('no such till')\n    return 0\n"


@pytest.fixture
def project(tmp_path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text)
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


def head(project: Path) -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def environment(folder: Path, version: str, till: str) -> Path:
    """The interpreter of an environment with that till, and with the packages of this one."""
    venv.create(folder, symlinks=True)
    site = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (site / "till.py").write_text(till)
    (site / f"till-{version}.dist-info").mkdir()
    (site / "all.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


@pytest.fixture
def recall(in_process):
    def call(project: Path, *words: str, code: int = 0, **environ: str) -> dict:
        done = in_process(words[0], "--project", str(project), "--json", *words[1:], **environ)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    return call


def test_what_fails_only_in_ci_is_told_with_the_package_that_its_frames_go_through(project, tmp_path, recall):
    here, there = environment(tmp_path / "a", "1.0", OLD_TILL), environment(tmp_path / "b", "2.0", NEW_TILL)
    recall(project, "run", "--python", str(here), code=1)
    # A later run of less, and one of sources that CI never saw.
    recall(project, "run", "test_shop.py::test_door", "--python", str(here))
    job = {**JOB, "GITHUB_SHA": head(project)}
    done = recall(project, "run", "--python", str(there), code=1, **job)
    (project / "test_shop.py").write_text("def test_new(): ...\n")
    recall(project, "run", "--python", str(here))

    view = recall(project, "compare", "ci", "local")
    assert view["newly_failing"] == ["test_shop.py::test_total"]
    assert view["omitted"] == {"still_failing": 1}
    assert not {"newly_passing", "appeared", "vanished", "still_failing"} & view.keys()
    assert view["environment"][0] == "till: 1.0 → 2.0, in frames of 1 failure"
    assert view["warnings"] == ["1 run of ci and 2 of local joined by test."]
    job_told = (
        "GitHub Actions Tests/py, run 165 of main: https://github.com/octo/shop/actions/runs/165/attempts/1"
    )
    assert view["after"]["source"] == f"ci/cli, {job_told}"
    assert recall(project, "history", "run", done["run_id"])["run"]["ci"] == job_told
    assert recall(project, "compare", "local", "ci")["newly_passing"] == ["test_shop.py::test_total"]
    spaces = recall(project, "history", "spaces")["spaces"]
    assert {one["space"]: one["runs"] for one in spaces} == {"local": 3, "ci": 1}


CASE = '<testsuite name="pytest"><testcase classname="test_shop" name="test_door" time="0.1">%s</testcase></testsuite>'


def test_report_imported_inside_a_job_needs_no_word_on_where_it_ran(project, tmp_path, recall):
    commit = head(project)
    job = {**JOB, "GITHUB_SHA": commit}
    report = tmp_path / "report.xml"
    report.write_text(CASE % "<failure message='AssertionError: no'>no</failure>")
    answer = recall(project, "import", str(report), **job)
    assert answer["imported"][0]["revision"] == commit[:12]
    assert "warnings" not in answer
    run = recall(project, "history", "run", answer["imported"][0]["run_id"])["run"]
    assert run["ci"].startswith("GitHub Actions Tests/py, run 165 of main: https://")

    # What is said outright goes before, and of another space the job knows nothing.
    report.write_text(CASE % "")
    other = recall(project, "import", str(report), "--revision", "b" * 40, **job)
    assert other["imported"][0]["revision"] == "b" * 12
    report.write_text(CASE.replace("0.1", "0.2") % "")
    assert "revision" not in recall(project, "import", str(report), "--space", "local", **job)["imported"][0]


def test_spaces_that_never_met_are_compared_with_a_warning_and_unknown_packages_are_said(
    project, tmp_path, recall
):
    python = sys.executable
    (project / "till.py").write_text(OLD_TILL)
    recall(project, "run", "--python", python, code=1)
    report = tmp_path / "report.xml"
    report.write_text(CASE % "<failure message='AssertionError: no'>no</failure>")
    recall(project, "import", str(report), "--revision", "c" * 40, "--job", "x")
    view = recall(project, "compare", "ci", "local")
    assert view["newly_failing"] == ["test_shop.py::test_door"]
    assert "no revision was run in both" in view["warnings"][0]
    assert view["warnings"][1] == "What was installed in ci is not told by import:junit."
    assert "environment" not in view  # what JUnit does not tell is no difference
    # On the same commit, though with changes here.
    report.write_text(CASE.replace("0.1", "0.3") % "<failure message='AssertionError: no'>no</failure>")
    recall(project, "import", str(report), "--revision", "HEAD", "--job", "x")
    assert "on one commit" in recall(project, "compare", "ci", "local")["warnings"][0]
