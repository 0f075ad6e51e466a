"""Work trees of earlier revisions, made by a real git: the right commit, nothing of the user's touched, nothing left."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_recall.running import revision, worktree
from pytest_recall.running.worktree import Refused


def git(root: Path, *args: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *identity, *args], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()


def commit(root: Path, **files: str) -> str:
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "a step")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text("*.pyc\n_version.py\n")
    return root


def base(root: Path) -> str:
    return worktree.base(root, revision.revision(root))


def test_base_of_changes_is_the_commit_they_are_on(root: Path) -> None:
    head = commit(root, a="1")
    (root / "a.py").write_text("2")
    assert base(root) == head


def test_git_that_refuses_or_is_missing_is_told_in_its_own_words(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="no git commit to compare with"):
        base(root)
    commit(root, a="1")
    config = root / ".git" / "config"
    config.write_text(f"[broken\n{config.read_text()}")
    with pytest.raises(Refused, match=r"git status refused: .*bad config line"):
        base(root)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="git could not be started"):
        base(root)
    assert worktree.refusal(tmp_path) == "", "where there is no repository"


def test_base_of_a_branch_is_where_it_left_the_default_branch(root: Path) -> None:
    fork = commit(root, a="1")
    git(root, "checkout", "-q", "-b", "feature")
    commit(root, a="2")
    commit(root, a="3")
    assert base(root) == fork


def test_base_on_the_default_branch_is_what_upstream_has_or_the_commit_before(
    root: Path, tmp_path: Path
) -> None:
    first = commit(root, a="1")
    with pytest.raises(Refused, match="no earlier commit"):
        base(root)
    second = commit(root, a="2")
    assert base(root) == first
    git(tmp_path, "clone", "-q", str(root), "clone")
    clone = tmp_path / "clone"
    commit(clone, a="3")
    commit(clone, a="4")
    assert base(clone) == second


def test_outside_git_there_is_no_base(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no git commit"):
        base(tmp_path)


def test_tree_has_the_commit_and_generated_files_and_goes_with_all_that_was_left_in_it(
    root: Path, tmp_path: Path
) -> None:
    first = commit(root, a="1")
    (root / "a.py").write_text("2")
    (root / "_version.py").write_text("generated")
    folder = tmp_path / "bases"
    with worktree.checked_out(root, first, folder, seconds=60) as tree:
        assert (tree.root / "a.py").read_text() == "1"
        assert (tree.root / "_version.py").read_text() == "generated"
        assert tree.root.name == "project"
        assert not revision.revision(tree.root).dirty
        locked = tree.root / "locked"
        locked.mkdir()
        (locked / "file").touch()
        locked.chmod(0o500)
    assert list(folder.iterdir()) == []
    assert git(root, "worktree", "list").count("\n") == 0
    assert not (root / ".git" / "worktrees").exists()


def test_root_below_the_repositorys_is_found_again(root: Path, tmp_path: Path) -> None:
    below = root / "packages" / "one"
    below.mkdir(parents=True)
    (below / "b.py").write_text("1")
    first = commit(root)
    with worktree.checked_out(below, first, tmp_path / "bases", seconds=60) as tree:
        assert (tree.root / "b.py").read_text() == "1"


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_tree_of_a_killed_process_is_removed_by_the_next_and_the_users_are_left(
    root: Path, tmp_path: Path
) -> None:
    first = commit(root, a="1")
    git(root, "worktree", "add", "-q", "--detach", str(tmp_path / "away"))
    (tmp_path / "away").rename(tmp_path / "on a disk that is away")  # only `prune` would forget it
    folder = tmp_path / "bases"
    code = (
        "import os, sys; from pathlib import Path; from pytest_recall.running import worktree\n"
        "with worktree.checked_out(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), seconds=60):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, root, first, folder], check=False)
    assert done.returncode == -signal.SIGKILL
    assert git(root, "worktree", "list").count("\n") == 2

    with worktree.checked_out(root, first, folder, seconds=60):
        assert git(root, "worktree", "list").count("\n") == 2  # the one in use is not taken for a dead one's
        worktree.tidy(root, folder)
        assert git(root, "worktree", "list").count("\n") == 2
    assert git(root, "worktree", "list").splitlines()[1].startswith(str(tmp_path / "away"))
    assert list(folder.iterdir()) == []


def test_commit_that_is_not_there_is_refused_with_what_git_says(root: Path, tmp_path: Path) -> None:
    commit(root, a="1")
    with (
        pytest.raises(Refused, match="git worktree refused"),
        worktree.checked_out(root, "f" * 40, tmp_path / "bases", seconds=60),
    ):
        pass
    assert list((tmp_path / "bases").iterdir()) == []
