"""The command line: pytest's words pass through, its exit codes come back, and `--json` is what an agent gets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_recall.cli import main

A = {
    "test_a.py": """
        import pytest
        def test_one(): ...
        def test_two(): assert 1 == 2
        @pytest.mark.skip
        def test_three(): ...
    """
}


def recall(*words: str, project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_recall", words[0], "--project", str(project), *words[1:]]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=60,
        env=dict(os.environ),  # without it: the C library's, where readline has put the width of a terminal
    )


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        ((), 1, "failed"),
        (("test_a.py::test_one",), 0, "passed"),
        (("-k", "one"), 0, "passed"),
        (("-k", "nothing"), 5, "no_tests"),
        (("-x", "-q", "--tb=short"), 1, "failed"),
        (("--no-such-option",), 4, "usage_error"),
    ],
)
def test_run_passes_pytests_words_on_and_gives_its_exit_codes(make_project, words, code, status):
    done = recall("run", "--json", *words, project=make_project(A))
    assert json.loads(done.stdout)["status"] == status, done.stdout + done.stderr
    assert done.returncode == code


def test_every_command_speaks_json_and_text(make_project, capfd):
    project = make_project(A)

    def told(command: str, *words: str, code: int = 0) -> str:
        assert main([command, "--project", str(project), *words]) == code, words
        return capfd.readouterr().out

    told("run", code=1)
    for words in (
        ("discover",),
        ("discover", "--group", "test", "--full"),
        ("history",),
        ("history", "runs"),
        ("history", "test", "test_a.py::test_two"),
        ("history", "failures"),
        ("history", "flaky"),
        ("history", "similar", "assert 1 == 2"),
        ("doctor",),
    ):
        assert told(*words).strip()
        assert isinstance(json.loads(told(words[0], "--json", *words[1:])), dict)


def test_doctor_tells_that_git_refuses_the_repository(make_project):
    project = make_project(A)
    (project / ".git").mkdir()
    (project / ".git" / "config").write_text("[broken\n")
    (project / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    for folder in "objects", "refs":
        (project / ".git" / folder).mkdir()
    problems = json.loads(recall("doctor", "--json", project=project).stdout)["problems"]
    assert [one["what"] for one in problems] == ["git"]
    assert "fatal: bad config line" in problems[0]["found"]


def test_a_persons_answer_names_the_failure(make_project):
    done = recall("run", project=make_project(A))
    assert "test_a.py::test_two" in done.stdout
    assert "assert 1 == 2" in done.stdout
    assert "failed: " in done.stdout


def test_a_run_is_named_by_how_its_id_begins_or_not_at_all(make_project, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    project = make_project({"tests/test_" + 60 * "long" + ".py": A["test_a.py"]})
    assert recall("run", project=project).returncode == 1
    table = recall("history", "runs", project=project).stdout.splitlines()
    short = table[1].split()[-1]
    assert len(table) == 2, table
    (line,) = recall("export", short, "-o", "-", project=project).stdout.splitlines()[:1]
    whole = json.loads(line)["id"]
    assert whole.startswith(short)
    causes = recall("history", "failures", project=project).stdout
    assert f"  tests/test_{60 * 'long'}.py::test_two\n" in causes
    assert causes.count("AssertionError") == 1
    assert not (tmp_path / "-").exists()


def test_errors_are_said_once_and_clearly(make_project, tmp_path):
    done = recall("run", project=tmp_path / "nowhere")
    assert done.returncode == 4
    assert done.stderr.startswith("pytest-recall: No project at")
    assert "Traceback" not in done.stderr
    done = recall("history", "--json", "run", "no-such-run", project=make_project(A))
    assert "No run" in json.loads(done.stdout)["error"]


def test_markup_and_terminal_codes_of_a_test_are_shown_as_text(make_project):
    project = make_project(
        {"test_m.py": "def test_m():\n    raise ValueError('[bold]x[/bold] \\x1b[31mred')\n"}
    )
    done = recall("run", project=project)
    assert "[bold]x[/bold]" in done.stdout
    assert "\x1b[31m" not in done.stdout


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_a_reader_who_has_seen_enough_changes_no_exit_code(make_project, words):
    project = make_project({"test_m.py": "def test_m():\n    assert 0\n"})
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pytest_recall", "run", "--project", str(project), *words]
    with os.fdopen(writer) as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(recall("history", "runs", "--json", project=project).stdout)["runs"]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("> /dev/full", "The answer cannot be written to stdout: No space left on device. Make room there"),
        (">&-", "stdout is closed: there is nowhere to answer. Send it to a file or to /dev/null."),
    ],
    ids=["full", "closed"],
)
def test_stdout_that_takes_nothing_is_said_in_one_sentence(make_project, *, where, says):
    project = make_project(A)
    assert main(["run", "--project", str(project)]) == 1
    for words in ("history runs", "history run no-such --json", "export", "metrics"):
        command = f"{sys.executable} -m pytest_recall {words} --project {project} {where}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
        assert done.stderr.startswith(f"pytest-recall: {says}")


def test_the_demo_tells_the_whole_story(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest_recall", "demo", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    turns = json.loads(done.stdout)
    runs = [turn["answer"] for turn in turns if turn["tool"] == "run_tests"]
    assert runs[0]["status"] == "failed"
    assert runs[-1]["counts"].get("error", 0) == 0
    assert {turn["tool"] for turn in turns} >= {"discover_tests", "run_tests", "test_history"}
    assert [cause["error"] for cause in turns[-1]["answer"]["failures"]] == ["shop.stock.OutOfStock"]
