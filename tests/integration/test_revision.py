"""Which sources ran: equal digests for equal sources, and for nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_recall.running.revision import main_root, revision

GIT = [
    "git",
    "-c",
    "user.name=t",
    "-c",
    "user.email=t@t",
    "-c",
    "init.defaultBranch=main",
    "-c",
    "protocol.file.allow=always",
]


def git(folder: Path, *args: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run([*GIT, "-C", str(folder), *args], check=True, capture_output=True, env=environ)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init")
    (folder / "a.py").write_text("a = 1\n")
    (folder / ".gitignore").write_text("ignored/\n")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def test_clean_tree_is_its_commit(repository: Path) -> None:
    found = revision(repository)

    assert (len(found.commit), found.branch, found.dirty) == (40, "main", False)
    assert revision(repository) == found


def test_edit_and_its_undoing(repository: Path) -> None:
    clean = revision(repository)
    (repository / "a.py").write_text("a = 2\n")
    edited = revision(repository)
    (repository / "a.py").write_text("a = 3\n")
    again = revision(repository)
    (repository / "a.py").write_text("a = 1\n")

    assert edited.dirty
    assert len({clean.digest, edited.digest, again.digest}) == 3
    assert revision(repository) == clean


def test_untracked_file_counts_with_its_content(repository: Path) -> None:
    clean = revision(repository)
    (repository / "new.py").write_text("x")
    first = revision(repository)
    (repository / "new.py").write_text("y")

    assert len({clean.digest, first.digest, revision(repository).digest}) == 3


@pytest.mark.parametrize(
    "path",
    [
        ".pytest-recall/journal.jsonl",
        "__pycache__/a.cpython-311.pyc",
        ".pytest_cache/v/cache/lastfailed",
        ".hypothesis/examples/x",
        ".coverage",
        ".venv/lib/x.py",
        "ignored/x.py",
    ],
)
def test_what_a_run_leaves_behind_is_no_source(path: str, repository: Path) -> None:
    clean = revision(repository)
    (repository / path).parent.mkdir(parents=True, exist_ok=True)
    (repository / path).write_text("x")

    assert revision(repository) == clean


def test_environment_under_any_name_is_no_source(repository: Path) -> None:
    clean = revision(repository)
    (repository / "my-env" / "lib").mkdir(parents=True)
    (repository / "my-env" / "pyvenv.cfg").touch()
    (repository / "my-env" / "lib" / "x.py").touch()

    assert revision(repository) == clean


def test_index_is_not_touched(repository: Path) -> None:
    (repository / "a.py").write_text("a = 1\n")
    before = (repository / ".git" / "index").read_bytes()

    revision(repository)

    assert (repository / ".git" / "index").read_bytes() == before
    assert not (repository / ".git" / "index.lock").exists()


def test_staging_alone_changes_no_source_that_runs_but_may_change_the_digest(repository: Path) -> None:
    (repository / "a.py").write_text("a = 2\n")
    git(repository, "add", "a.py")

    assert revision(repository).dirty


def test_repository_without_a_commit_has_a_revision(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("a")
    found = revision(tmp_path)
    (tmp_path / "a.py").write_text("b")

    assert (found.commit, found.dirty) == ("", True)
    assert revision(tmp_path).digest != found.digest


def test_odd_files_neither_block_nor_fail(repository: Path) -> None:
    os.mkfifo(repository / "pipe")
    (repository / "dangling").symlink_to("nowhere")
    (repository / "loop").symlink_to("loop")
    (repository / "new\nline ü.py").write_text("x")
    (repository / os.fsdecode(b"bytes-\xff.py")).write_text("x")
    (repository / "unreadable.py").touch(mode=0)
    first = revision(repository)
    (repository / "dangling").unlink()
    (repository / "dangling").symlink_to("elsewhere")

    assert first.dirty
    assert revision(repository).digest != first.digest


def test_change_within_a_submodule_counts(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init")
    (inner / "b.py").write_text("b = 1\n")
    git(inner, "add", ".")
    git(inner, "commit", "-m", "inner")
    git(repository, "submodule", "add", str(inner), "sub")
    git(repository, "commit", "-m", "with a submodule")
    clean = revision(repository)
    (repository / "sub" / "b.py").write_text("b = 2\n")
    first = revision(repository)
    (repository / "sub" / "b.py").write_text("b = 3\n")

    assert not clean.dirty
    assert len({clean.digest, first.digest, revision(repository).digest}) == 3


def test_variables_of_a_git_hook_lead_nowhere_else(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = revision(repository)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))

    assert revision(repository) == clean


@pytest.mark.parametrize("name", ["b.py", "pytest.ini", "rates.json", ".env", "tests/data/report.json"])
def test_outside_git_sources_configuration_and_data_count(tmp_path: Path, name: str) -> None:
    (tmp_path / "tests" / "data").mkdir(parents=True)
    (tmp_path / name).write_text("1")
    first = revision(tmp_path)
    (tmp_path / name).write_text("2")

    assert (first.commit, first.branch, first.dirty) == ("", "", False)
    assert revision(tmp_path).digest != first.digest


@pytest.mark.parametrize(
    "name", ["report.xml", "junit-3.xml", "a.log", "db.sqlite3", "htmlcov/i.html", ".idea/w.xml", ".DS_Store"]
)
def test_outside_git_what_a_run_or_an_editor_writes_does_not(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    first = revision(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("2")

    assert revision(tmp_path) == first


def test_outside_git_a_folder_of_data_is_no_source(tmp_path: Path) -> None:
    for number in range(502):
        (tmp_path / f"{number}.csv").touch()
    first = revision(tmp_path)
    (tmp_path / "7.csv").write_text("7")

    assert revision(tmp_path) == first
    (tmp_path / "9.csv").unlink()
    (tmp_path / "11.csv").unlink()
    assert revision(tmp_path) != first


def test_what_cannot_be_read_in_time_equals_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").touch()
    monkeypatch.setattr("pytest_recall.running.revision._SECONDS", -1.0)

    assert revision(tmp_path).digest != revision(tmp_path).digest


def test_worktrees_of_a_repository_share_its_main_root(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", str(tmp_path / "tree"))
    (repository / "sub").mkdir()
    (tmp_path / "tree" / "sub").mkdir()

    assert main_root(repository / "sub") == repository
    assert main_root(tmp_path / "tree" / "sub") == repository
    assert main_root(tmp_path) == tmp_path
