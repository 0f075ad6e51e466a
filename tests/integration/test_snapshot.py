"""Uncommitted sources can be compared after they are gone, and the user's repository is not touched."""

import os
import subprocess
from pathlib import Path

import pytest

from pytest_recall.running.revision import revision
from pytest_recall.running.snapshot import Snapshots


def git(root: Path, *words: str) -> str:
    who = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    done = subprocess.run(
        ["git", "-C", root, *words], env={**os.environ, **who}, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def repository(tmp_path) -> Path:
    root = tmp_path / 'a "quoted": project'
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "a.py").write_text("one\ntwo\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


@pytest.fixture
def snapshots(tmp_path) -> Snapshots:
    return Snapshots(tmp_path / "store")


def take(snapshots: Snapshots, root: Path) -> str:
    return snapshots.take(root, revision(root))


def test_edits_that_were_never_committed_are_compared(repository, snapshots):
    clean = take(snapshots, repository)
    (repository / "a.py").write_text("one\nTWO\n")
    (repository / "new file.py").write_text("new\n")
    red = take(snapshots, repository)
    (repository / "a.py").write_text("one\nTWO\nthree\n")
    green = take(snapshots, repository)
    git(repository, "checkout", "-q", "--", "a.py")
    (repository / "new file.py").unlink()
    assert "-two" in snapshots.diff(repository, clean, red)
    assert "+new" in snapshots.diff(repository, clean, red)
    between = snapshots.diff(repository, red, green)
    assert [line for line in between.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "+three"
    ]


def test_an_edit_of_the_same_size_in_the_second_of_the_commit_is_seen(repository, snapshots):
    source, index, then = repository / "a.py", repository / ".git" / "index", (10**9, 10**9)
    git(repository, "config", "core.trustctime", "false")  # when the times were set, not what they are
    os.utime(source, then)
    git(repository, "add", "a.py")
    os.utime(index, then)
    clean = take(snapshots, repository)
    source.write_text("one\nTWO\n")
    os.utime(source, then)
    assert "-two" in snapshots.diff(repository, clean, take(snapshots, repository))


def test_the_repository_is_as_it_was(repository, snapshots):
    (repository / "a.py").write_text("changed\n")
    (repository / "b.py").write_text("untracked\n")
    index = repository / ".git" / "index"
    before = (
        index.read_bytes(),
        index.stat().st_mtime_ns,
        git(repository, "count-objects"),
        git(repository, "status", "-s"),
    )
    os.utime(index, ns=(before[1], before[1]))
    before = (index.read_bytes(), index.stat().st_mtime_ns, *before[2:])
    assert take(snapshots, repository)
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before[:2]
    assert git(repository, "count-objects") == before[2]
    assert git(repository, "status", "-s") == before[3]


def test_ignored_and_huge_files_stay_out(repository, snapshots):
    clean = take(snapshots, repository)
    (repository / ".gitignore").write_text("secret\n")
    (repository / "secret").write_text("password\n")
    (repository / "data.bin").write_bytes(b"x" * (2**20 + 1))
    diff = snapshots.diff(repository, clean, take(snapshots, repository))
    assert "password" not in diff
    assert "data.bin" not in diff
    assert ".gitignore" in diff


def test_no_repository_and_no_commit_give_no_snapshot(tmp_path, snapshots):
    assert take(snapshots, tmp_path) == ""
    root = tmp_path / "unborn"
    root.mkdir()
    git(root, "init", "-q")
    (root / "a.py").write_text("a\n")
    assert take(snapshots, root) == ""


@pytest.mark.parametrize("name", ["", "--output=/tmp/x", "HEAD", "f" * 40])
def test_a_snapshot_that_is_not_there_gives_no_diff(repository, snapshots, name):
    assert snapshots.diff(repository, name, take(snapshots, repository)) == ""


def test_old_objects_are_forgotten(repository, snapshots):
    (repository / "a.py").write_text("changed\n")
    tree = take(snapshots, repository)
    clean = git(repository, "rev-parse", "HEAD").strip()
    snapshots.prune(3_600)
    assert snapshots.diff(repository, clean, tree)
    snapshots.prune(-1)
    assert snapshots.diff(repository, clean, tree) == ""
