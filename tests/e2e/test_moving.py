"""Runs from elsewhere and back: the reports that plain pytest writes, GitHub's artefacts, and our own export."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType

import pytest

from pytest_recall.cli import main

FILES = {
    "tests/test_a.py": """
        import pytest

        @pytest.fixture
        def till():
            yield
            raise RuntimeError("stuck")

        def helper(number):
            raise ValueError(f"bad {number}")

        class TestCart:
            @pytest.mark.parametrize("item", ["a.b::c", "plain"])
            def test_add(self, item): ...

        def test_total(): assert 1 + 1 == 3
        def test_deep(): helper(7)
        def test_close(till): ...
        def test_both(till): assert False
        def test_group():
            try: helper(8)
            except ValueError as error: raise ExceptionGroup("eg", [error, KeyError(2)]) from error
        @pytest.mark.skip(reason="later")
        def test_skip(): ...
        @pytest.mark.xfail
        def test_xfail(): assert 0
    """
}
COUNTS = {"passed": 2, "failed": 4, "error": 2, "skipped": 1, "xfailed": 1, "collected": 9}


@pytest.fixture
def recall(in_process):
    """What the command prints."""

    def call(*words: str, project: Path, code: int = 0, stdin: bytes = b"", path: str = "") -> str:
        environ = {"PATH": path} if path else {}
        done = in_process(words[0], "--project", str(project), *words[1:], stdin=stdin, **environ)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout or done.stderr

    return call


@pytest.fixture
def take(recall):
    def call(*words: str, project: Path, **options) -> dict:
        return json.loads(recall("import", "--json", *words, project=project, **options))

    return call


@pytest.fixture
def exported(recall):
    def call(*words: str, project: Path) -> list[dict]:
        return [json.loads(line) for line in recall("export", *words, project=project).splitlines()]

    return call


def plain(project: Path, *words: str, environ: Mapping[str, str] = MappingProxyType({})) -> None:
    """A run of pytest without us."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")} | environ
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, check=False, timeout=120)
    assert done.returncode == 1, done.stdout


def commit(project: Path) -> str:
    git = ["git", "-C", str(project), "-c", "user.name=n", "-c", "user.email=n@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    return subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def causes(lines: list[dict]) -> dict[str, list[str]]:
    return {
        line["test"]["id"]: [
            failure["fingerprint"]["strict"]
            for attempt in line["test"]["attempts"]
            for failure in attempt.get("failures", [])
        ]
        for line in lines
        if line["kind"] == "test"
    }


def test_reports_of_plain_pytest_tell_the_same_tests_and_causes_as_a_run_of_ours(
    make_project, tmp_path, recall, take, exported
):
    project = make_project(FILES)
    head = commit(project)
    reports = tmp_path / "reports"
    plain(
        project, f"--junitxml={reports}/one.xml", "--json-report", f"--json-report-file={reports}/report.json"
    )
    plain(project, f"--junitxml={reports}/legacy.xml", "-o", "junit_family=xunit1")
    plain(project, "--tb=short", "--json-report", f"--json-report-file={reports}/short.json")
    recall("run", project=project, code=1)
    [ours, *told] = exported(project=project)
    assert ours["run"]["revision"]["commit"] == head

    answer = take(str(reports), "--revision", "HEAD", "--branch", "main", "--job", "linux", project=project)
    assert [one["format"] for one in answer["imported"]] == ["junit", "junit", "json-report", "json-report"]
    assert {one["revision"] for one in answer["imported"]} == {head[:12]}
    assert [one["counts"] for one in answer["imported"]] == [COUNTS] * 4
    lines = exported(*(one["run_id"] for one in answer["imported"]), project=project)
    for one in answer["imported"]:
        [theirs] = [line["run"] for line in lines if line["kind"] == "run" and line["id"] == one["run_id"]]
        assert theirs["revision"]["digest"] == ours["run"]["revision"]["digest"]
        assert theirs["space"] == "ci"
        assert causes([line for line in lines if line.get("run") == one["run_id"]]) == causes(told)

    again = take(str(reports), "--revision", "HEAD", project=project)
    assert "imported" not in again
    assert [one["run_id"] for one in again["known"]] == [one["run_id"] for one in answer["imported"]]
    view = json.loads(recall("history", "test", "tests/test_a.py::test_total", "--json", project=project))
    assert view["attempts"] == 5


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(make_project, tmp_path, take):
    project = make_project({"test_a.py": "def test_one(): ..."})
    good = '<testsuite name="pytest"><testcase classname="test_a" name="test_one" time="0.1"/></testsuite>'
    folder = tmp_path / "artefacts"
    folder.mkdir()
    for name, text in {
        "good.xml": good,
        "torn.xml": good[:-20],
        "page.html": "<!DOCTYPE html><html/>",
        "coverage.xml": "<coverage/>",
        "x.log": "hi",
    }.items():
        (folder / name).write_text(text)
    answer = take(str(folder), project=project, code=1)
    assert [Path(one["source"]).name for one in answer["imported"]] == ["good.xml"]
    assert {Path(one["source"]).name: one["why"][:7] for one in answer["refused"]} == {"torn.xml": "No XML:"}
    assert answer["passed_over"] == 3
    assert len(answer["warnings"]) == 2  # neither revision nor job
    # The same content with another file's time, from stdin, in an archive: it is there already.
    assert (
        take("-", stdin=good.encode(), project=project)["known"][0]["run_id"]
        == answer["imported"][0]["run_id"]
    )


def test_known_run_that_lacks_the_revision_is_named_with_what_helps(make_project, tmp_path, recall, take):
    project = make_project({"test_a.py": "def test_one(): ..."})
    head = commit(project)
    report = tmp_path / "r.xml"
    report.write_text(
        '<testsuite name="pytest"><testcase classname="test_a" name="test_one" time="0.1"/></testsuite>'
    )
    [first] = take(str(report), project=project)["imported"]
    assert "warnings" not in take(str(report), project=project)
    words = (str(report), "--revision", "HEAD", "--job", "linux")
    [warning] = take(*words, project=project)["warnings"]
    assert f"1 of these runs ({first['run_id']})" in warning
    [file] = (project / ".pytest-recall").rglob(f"{first['run_id']}.run")  # what it says to do
    file.unlink()
    recall("store", "rebuild", project=project)
    assert [one["revision"] for one in take(*words, project=project)["imported"]] == [head[:12]]
    assert "warnings" not in take(*words, project=project)


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """What a CI job uploads that keeps the plugin's file and reports of the very same session."""
    root = tmp_path_factory.mktemp("job")
    (root / "test_a.py").write_text(dedent(FILES["tests/test_a.py"]))
    kept = root / "artefact"
    environ = {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    reports = (f"--junitxml={kept}/r.xml", "--json-report", f"--json-report-file={kept}/r.json")
    plain(root, "-p", "recall_probe.plugin", "--recall", *reports, environ=environ)
    shutil.move(root / ".pytest-recall", kept)
    return kept


@pytest.mark.parametrize("pack", ["folder", "zip", "gztar"])
def test_reports_of_a_session_that_tells_of_itself_are_passed_over_and_named(
    make_project, job, tmp_path, *, recall, take, pack
):
    project = make_project({"pyproject.toml": ""})  # the ids are guessed: no such file is here
    given = str(job) if pack == "folder" else shutil.make_archive(str(tmp_path / "a"), pack, job)
    answer = take(given, project=project)
    [kept] = answer["imported"]
    assert kept["format"] == "plugin"
    assert {re.split("[/!]", one["source"])[-1] for one in answer["doubled"]} == {"r.json", "r.xml"}
    assert {one["run_id"] for one in answer["doubled"]} == {kept["run_id"]}
    again = take(given, project=project)
    assert ([one["run_id"] for one in again["known"]], len(again["doubled"])) == ([kept["run_id"]], 2)
    assert f"r.xml tells the same run as {kept['run_id']}" in recall("import", given, project=project)


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r'timestamp="\d+', 'timestamp="2020'),
        (r'(name="test_add\[plain\]" time=)"[^"]*"', r'\1"0.750"'),
        (r'name="test_total"', 'name="test_sum"'),
        (r"<skipped.*?</skipped>", ""),
    ],
    ids=["another time", "another duration", "another test", "another outcome"],
)
def test_report_of_a_session_that_may_be_another_is_kept(
    make_project, job, tmp_path, *, take, pattern, instead
):
    artefact = tmp_path / "artefact"
    shutil.copytree(job, artefact)
    told = (job / "r.xml").read_text()
    (artefact / "r.xml").write_text(other := re.sub(pattern, instead, told, count=1))
    assert other != told
    answer = take(str(artefact), project=make_project({"pyproject.toml": ""}))
    assert sorted(one["format"] for one in answer["imported"]) == ["junit", "plugin"]


def test_two_reports_that_may_each_be_of_one_session_are_both_kept(make_project, job, tmp_path, take):
    matrix = tmp_path / "artefacts"
    shutil.copytree(job, matrix / "one")
    (matrix / "two").mkdir()
    (matrix / "two" / "r.xml").write_text((job / "r.xml").read_text() + " ")
    answer = take(str(matrix), project=make_project({"pyproject.toml": ""}))
    assert sorted(one["format"] for one in answer["imported"]) == ["junit", "junit", "plugin"]


def surefire(folder: Path, **classes: str) -> Path:
    """One report a class; *classes* are names with when each began and what its test holds, or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, told in classes.items():
        when, _, inside = told.partition(" ")
        (folder / f"TEST-x.{name}.xml").write_text(
            f'<testsuite name="x.{name}" tests="1" time="0.5" timestamp="{when}">'
            f'<testcase classname="x.{name}" name="works" time="0.5">{inside}</testcase></testsuite>'
        )
    return folder


def test_folder_of_surefire_reports_is_one_run_a_build(make_project, tmp_path, recall, take):
    project = make_project({"test_a.py": ""})
    build = surefire(
        tmp_path / "reports",
        A="2026-01-02T08:00:00Z",
        B='2026-01-02T08:00:02Z <failure message="m"/>',
        C="2026-01-02T08:00:04Z",
    )
    [run] = take(str(build), "--job", "mvn", project=project)["imported"]
    assert run["counts"] == {"passed": 2, "failed": 1, "collected": 3}
    assert run["source"] == f"{build}/ (3 reports)"
    assert run["notes"] == ["Put together from 3 reports of one folder."]
    assert run["status"] == "failed"
    again = take(*map(str, sorted(build.iterdir(), reverse=True)), project=project)
    assert [one["run_id"] for one in again["known"]] == [run["run_id"]]

    later = surefire(tmp_path / "two", A="2026-01-03T08:00:00Z", B="2026-01-04T08:00:00Z")
    assert len(take(str(later), "--job", "mvn", project=project)["imported"]) == 2
    assert "silenced" not in recall("history", "run", project=project)


def test_reports_of_the_same_tests_in_one_folder_are_runs_of_their_own(make_project, tmp_path, take):
    project = make_project({"test_a.py": ""})
    folder = surefire(tmp_path / "reports", A="2026-01-02T08:00:00Z", B="2026-01-02T08:00:00Z")
    (folder / "TEST-rerun.xml").write_text((folder / "TEST-x.B.xml").read_text() + " ")
    assert len(take(str(folder), project=project)["imported"]) == 3


MODULES = ("a/target/surefire-reports", "b/target/failsafe-reports", "c/build/test-results/test")


@pytest.mark.parametrize("pack", ["folder", "zip"])
def test_modules_of_one_build_are_one_run(make_project, tmp_path, take, pack):
    project, build = make_project({"test_a.py": ""}), tmp_path / "build"
    for number, (name, module) in enumerate(zip("ABC", MODULES, strict=True)):
        surefire(build / module, **{name: f"2026-01-02T08:{20 * number:02}:00Z"})
    given = str(build) if pack == "folder" else shutil.make_archive(str(tmp_path / "a"), pack, build)
    [run] = take(given, "--job", "mvn", project=project)["imported"]
    assert run["counts"] == {"passed": 3, "collected": 3}
    assert run["source"] == f"{given}{'/' if pack == 'folder' else '!'} (3 reports of 3 folders)"
    assert run["notes"] == ["Put together from 3 reports of 3 folders."]
    known = take(*(str(build / module) for module in reversed(MODULES)), project=project)["known"]
    assert [one["run_id"] for one in known] == [run["run_id"]]


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("b/target/surefire-reports", {"A": "2026-01-02T08:20:00Z"}),
        ("b/target/surefire-reports", {"B": "2026-01-02T10:00:00Z"}),
        ("b/target/surefire-reports", {"B": ""}),
        ("another/job", {"B": "2026-01-02T08:20:00Z"}),
    ],
    ids=["the same tests", "hours later", "no time", "no module"],
)
def test_folders_that_may_be_of_two_builds_are_runs_of_their_own(
    make_project, tmp_path, take, *, module, told
):
    project = make_project({"test_a.py": ""})
    surefire(tmp_path / "build" / MODULES[0], A="2026-01-02T08:00:00Z", C="2026-01-02T08:00:00Z")
    surefire(tmp_path / "build" / module, **told)
    runs = take(str(tmp_path / "build"), project=project)["imported"]
    assert sorted(run["counts"]["passed"] for run in runs) == [1, 2]


def test_module_that_was_imported_by_itself_is_not_kept_twice(make_project, tmp_path, take):
    project, build = make_project({"test_a.py": ""}), tmp_path / "build"
    surefire(build / MODULES[0], A="2026-01-02T08:00:00Z", B="2026-01-02T08:00:02Z")
    surefire(build / MODULES[1], C="2026-01-02T08:01:00Z")
    [first] = take(str(build / MODULES[0]), project=project)["imported"]
    answer = take(str(build), project=project)
    assert [one["run_id"] for one in answer["known"]] == [first["run_id"]]
    assert [one["counts"]["passed"] for one in answer["imported"]] == [1]


def test_export_imported_elsewhere_and_exported_again_is_the_same(make_project, tmp_path, recall, take):
    project, other = make_project(FILES), make_project({}, name="other")
    recall("run", project=project, code=1)
    recall("run", "--repeat", "2", "tests/test_a.py::test_deep", project=project, code=1)
    file = tmp_path / "runs.jsonl"
    assert "2 runs written" in recall("export", "--since", "1d", "-o", str(file), project=project)
    assert len(take(str(file), project=other)["imported"]) == 2
    assert recall("export", "--since", "1d", project=other) == file.read_text()
    assert len(take(str(file), project=other)["known"]) == 2


@pytest.mark.parametrize("kind", ["jsonl", "junit"])
def test_reader_who_leaves_an_export_early_sees_no_traceback(make_project, recall, kind):
    project = make_project({"test_a.py": "def test_one(): ..."})
    recall("run", project=project)
    command = [sys.executable, "-m", "pytest_recall", "export", "--since", "1d", "--format", kind]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as export:
        export.stdout.close()  # long before it has anything to say
        assert export.stderr.read() == b""
    assert export.returncode == 0


def test_export_for_other_tools_comes_back_with_its_counts(make_project, recall, take):
    project, other = make_project(FILES), make_project({}, name="other")
    recall("run", project=project, code=1)
    for kind, lost in (("junit", {}), ("ctrf", {"error": 1})):  # CTRF has one place for a failure of a test
        text = recall("export", "--format", kind, project=project)
        [one] = take("-", stdin=text.encode(), project=other)["imported"]
        assert (one["format"], one["counts"]) == (kind, COUNTS | lost)


@pytest.mark.parametrize("kind", ["junit", "ctrf"])
def test_export_of_a_run_that_is_kept_is_known_and_what_only_says_so_is_another(
    make_project, recall, take, exported, kind
):
    project = make_project(FILES)
    recall("run", project=project, code=1)
    [own, *_] = before = exported(project=project)
    text = recall("export", "--format", kind, project=project)
    answer = take("-", "--job", "linux", stdin=text.encode(), project=project)
    assert ([one["run_id"] for one in answer["known"]], "warnings" in answer) == ([own["id"]], False)

    # Of another time, of another outcome, of a run that nobody knows: what says that it is kept hides and changes nothing.
    times = re.compile(r'("start": |timestamp=")(\d\d)')
    red, mended = {
        "junit": (r"<failure.*?</failure>", ""),
        "ctrf": (r'"status": "failed"(.*?)"rawStatus": "\w+"', r'"status": "passed"\1"rawStatus": ""'),
    }[kind]
    for forged in (
        times.sub(lambda found: found[1] + str(int(found[2]) - 1), text),
        re.sub(red, mended, text, count=1, flags=re.DOTALL),
        text.replace(own["id"], own["id"][:-4] + "0000"),
        text.replace(own["id"], "../" + own["id"]),
    ):
        assert forged != text
        [one] = take("-", stdin=forged.encode(), project=project)["imported"]
        assert one["run_id"] != own["id"]
    assert exported(own["id"], project=project) == before


GH = """#!{python}
import json, os, pathlib, shutil, sys
words = sys.argv[1:]
RUNS = {{
    "3": dict(databaseId=3, headSha="e" * 40, headBranch="main", event="push", status="completed",
              createdAt="2025-01-01T03:04:05Z", workflowName="CI"),
    "6": dict(databaseId=6, headSha="d" * 40, headBranch="main", event="push", status="completed",
              createdAt="2025-01-02T03:04:05Z", workflowName="CI"),
    "7": dict(databaseId=7, headSha="a" * 40, headBranch="main", event="push", status="completed",
              createdAt="2026-01-02T03:04:05Z", workflowName="CI",
              url="https://github.com/o/shop/actions/runs/7"),
    "8": dict(databaseId=8, headSha="b" * 40, headBranch="fix", event="pull_request", status="completed",
              createdAt="2026-01-03T03:04:05Z", workflowName="CI"),
    "9": dict(databaseId=9, headSha="c" * 40, headBranch="main", event="push", status="in_progress",
              createdAt="2026-01-04T03:04:05Z", workflowName="CI"),
}}
CASE = '<testsuite name="pytest"><testcase classname="test_a" name="test_one" time="%s"/></testsuite>'
RED = '"><failure message="m"/></testcase></'
MATRIX = dict(py311=CASE % 1, py312=(CASE % 1).replace('"/></', RED), other=(CASE % 1).replace("one", "two"))
fields = "databaseId,headSha,headBranch,event,createdAt,workflowName,status,url"
match words:
    case ["run", "view", number, "--json", asked] if asked == fields and number in RUNS:
        print(json.dumps(RUNS[number]))
    case ["run", "list", "--limit", limit, "--json", asked] if asked == fields:
        going_on = [RUNS["9"] | dict(databaseId=100 + n) for n in range(int(os.environ.get("GOING_ON", 0)))]
        print(json.dumps([*going_on, *reversed(RUNS.values())][: int(limit)]))
    case ["run", "download", "7", "--dir", folder, *rest] if rest in ([], ["--pattern", "junit-*"]):
        for job in ("junit-py311", "junit-py312") + (() if rest else ("docs",)):
            place = pathlib.Path(folder, job)
            place.mkdir()
            (place / ("index.html" if job == "docs" else "r.xml")).write_text("hi" if job == "docs" else CASE % job[-1])
    case ["run", "download", "6", "--dir", folder]:
        shutil.copytree("{job}", pathlib.Path(folder, "recall"), ignore=shutil.ignore_patterns("r.*"))
        shutil.copytree("{job}", pathlib.Path(folder, "junit"), ignore=shutil.ignore_patterns(".*"))
    case ["run", "download", "3", "--dir", folder]:
        pathlib.Path(folder, "results").mkdir()
        for name, text in MATRIX.items():
            pathlib.Path(folder, "results", name + ".xml").write_text(text)
    case ["run", "download", "8", "--dir", folder, *rest]:
        sys.exit("no valid artifacts found to download")
    case ["run", "download", "7", "--dir", folder, "--pattern", "recall-*"]:
        sys.exit("no artifact matches any of the names or patterns provided")
    case ["run", "view", "4", *_]:
        print("To get started with GitHub CLI, please run:  gh auth login", file=sys.stderr)
        sys.exit(4)
    case _:
        sys.exit(f"unknown: {{words}}")
"""


@pytest.fixture
def gh(tmp_path, job) -> str:
    """A PATH with a `gh` that replays what GitHub's own says."""
    command = tmp_path / "bin" / "gh"
    command.parent.mkdir()
    command.write_text(GH.format(python=sys.executable, job=job))
    command.chmod(0o755)
    return f"{command.parent}{os.pathsep}{os.environ['PATH']}"


def test_artefacts_of_a_github_run_are_jobs_on_its_commit(make_project, gh, take, exported):
    project = make_project({"test_a.py": "def test_one(): ..."})
    answer = take("--gh", "7", project=project, path=gh)
    assert [(one["source"], one["revision"]) for one in answer["imported"]] == [
        ("GitHub run 7/junit-py311/r.xml", "a" * 12),
        ("GitHub run 7/junit-py312/r.xml", "a" * 12),
    ]
    assert "warnings" not in answer
    [first, second] = [exported(one["run_id"], project=project)[0]["run"] for one in answer["imported"]]
    assert first["environment"] == {"distributions": "job CI/junit-py311"} != second["environment"]
    assert first["ci"] == {
        "is": "Pipeline",
        "provider": "GitHub Actions",
        "job": "CI/junit-py311",
        "run": "7",
        "branch": "main",
        "commit": "a" * 40,
        "link": "https://github.com/o/shop/actions/runs/7",
    }
    assert len(take("--gh", "7", "--gh-artifact", "junit-*", project=project, path=gh)["known"]) == 2


def test_reports_of_one_artefact_that_tell_of_one_test_are_each_of_a_place_of_its_own(
    make_project, gh, recall, take, exported
):
    project = make_project({"test_a.py": "def test_one(): ..."})
    answer = take("--gh", "3", project=project, path=gh)
    places = {
        one["source"]: exported(one["run_id"], project=project)[0]["run"]["environment"]["distributions"]
        for one in answer["imported"]
    }
    assert places == {
        "GitHub run 3/results/other.xml": "job CI/results",
        "GitHub run 3/results/py311.xml": "job CI/results/py311.xml",
        "GitHub run 3/results/py312.xml": "job CI/results/py312.xml",
    }
    assert "No test is known to be flaky" in recall("flaky", project=project)


def test_artefacts_of_one_session_are_one_run(make_project, gh, take):
    answer = take("--gh", "6", project=make_project({"pyproject.toml": ""}), path=gh)
    assert [one["source"].split("/")[1] for one in answer["imported"]] == ["recall"]
    assert [one["source"] for one in answer["doubled"]] == [
        "GitHub run 6/junit/r.json",
        "GitHub run 6/junit/r.xml",
    ]


def test_github_runs_since_a_day_are_fetched_and_those_without_artefacts_counted(
    make_project, gh, recall, take
):
    project = make_project({"test_a.py": "def test_one(): ..."})
    answer = take("--gh-since", "2026-01-01", project=project, path=gh)
    assert len(answer["imported"]) == 2
    assert "refused" not in answer
    assert answer["without_artefacts"] == 1
    pattern = ("--gh-artifact", "recall-*")
    said = recall("import", "--gh-since", "2026-01-01", *pattern, project=project, path=gh)
    assert said == "2 of GitHub's runs without artefacts\n"
    assert take("--gh-since", "2026-02-01", project=project, path=gh) == {}


@pytest.mark.parametrize("number", [600, 3_000])
def test_github_runs_before_the_newest_hundreds_are_looked_at_or_said_to_be_missing(
    make_project, gh, take, monkeypatch, *, number
):
    monkeypatch.setenv("GOING_ON", str(number))
    project = make_project({"test_a.py": "def test_one(): ..."})
    answer = take("--gh-since", "2026-01-01", project=project, path=gh, code=number > 2_000)
    if number < 2_000:
        assert (len(answer["imported"]), answer["without_artefacts"]) == (2, 1)
        assert "refused" not in answer
    else:
        [refusal] = answer["refused"]
        assert (
            "than the 2,000 newest, which are looked at: none before 2026-01-04 03:04 UTC" in refusal["why"]
        )


@pytest.mark.parametrize(
    ("words", "why"),
    [(("8",), "has no artefacts, or"), (("7", "--gh-artifact", "recall-*"), "that match 'recall-*', or")],
)
def test_github_run_that_was_named_and_has_no_artefacts_is_refused(make_project, gh, take, *, words, why):
    [refusal] = take("--gh", *words, project=make_project({}), path=gh, code=1)["refused"]
    assert refusal["source"] == f"GitHub run {words[0]}"
    assert why in refusal["why"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("import",), "Name what to import"),
        (("import", "a.xml", "--gh", "7"), "takes only one of files, folders"),
        (("import", "--gh", "7", "--gh-since", "7d"), "takes only one of files, folders"),
        (("import", "--gh", "7", "--revision", "HEAD"), "leave them out"),
        (("import", "--gh", "seven"), "a run's number"),
        (("import", "--gh", "4"), "Run `gh auth login`"),
        (("import", "--gh", "5"), "unknown"),
        (("import", "a.xml", "--revision", "no-such"), "no commit of the repository"),
        (("import", "a.xml", "--revision", "--version"), "expected one argument"),
        (("import", "a.xml", "--format", "tap"), "No format 'tap'"),
        (("export",), "No run is kept yet"),
        (("export", "01a1fccf-6767-7ab2-a5b8-0812055dd0bf"), "No run"),
        (("export", "--since", "soon"), "is no time"),
        (("export", "-o", "/dev/null"), "is a device"),
    ],
)
def test_wrong_arguments_are_told_what_is_right(make_project, gh, monkeypatch, capfd, *, words, says):
    project = make_project({"test_a.py": "def test_one(): ..."})
    monkeypatch.setenv("PATH", gh)
    try:
        code = main([words[0], "--project", str(project), *words[1:]])
    except SystemExit as end:  # argparse's own
        code = end.code
    assert code == (2 if "expected" in says else 4)
    assert says in capfd.readouterr().err


def test_files_are_imported_where_stdin_is_closed(make_project, tmp_path):
    report = tmp_path / "r.xml"
    report.write_text('<testsuite name="pytest"><testcase classname="test_a" name="test_one"/></testsuite>')
    project = make_project({"test_a.py": "def test_one(): ..."})
    words = [sys.executable, "-m", "pytest_recall", "import", "--json", "--project", str(project)]
    for place, code in ((str(report), 0), ("-", 4)):
        command = f"{shlex.join([*words, place])} <&-"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code, done.stderr
    assert "No stdin to read from" in done.stdout


def test_missing_gh_is_said_with_what_to_do(make_project, tmp_path, recall):
    project = make_project({"test_a.py": "def test_one(): ..."})
    said = recall("import", "--gh", "7", project=project, code=4, path=str(tmp_path))
    assert "Install GitHub's CLI" in said
