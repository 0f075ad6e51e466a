"""A disk without room, and a project that nobody may write to: a typed answer all the same. In a mount namespace of its own."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
FAILS = """
    import pytest

    def test_good(): pass

    @pytest.mark.parametrize("n", range(60))
    def test_bad(n):
        assert n < 0, "x" * 19_000
"""


def mounts() -> bool:
    try:
        return (
            subprocess.run(
                [*MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


needs_mounts = pytest.mark.skipif(
    not mounts(), reason="no mount namespaces for this user (`unshare --user --mount`)"
)


def run_with(mount: str, project: Path, **env: str) -> tuple[int, dict, str]:
    """Exit code, answer and stderr of `pytest-recall run` after *mount*, a shell command."""
    words = [sys.executable, "-m", "pytest_recall", "run", "--json", "--project", str(project)]
    script = f"{mount} && exec {shlex.join(words)}"
    environ = {**os.environ, **env}
    done = subprocess.run(
        [*MOUNTS, "sh", "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, json.loads(done.stdout), done.stderr


@needs_mounts
@pytest.mark.parametrize("kilobytes", [600, 1_200])
def test_disk_that_fills_up_during_a_run_leaves_a_true_verdict(make_project, tmp_path, kilobytes):
    state = tmp_path / "full"
    state.mkdir()
    mount = f"mount -t tmpfs -o size={kilobytes}k none {shlex.quote(str(state))}"

    code, answer, complaint = run_with(mount, make_project({"test_a.py": FAILS}), XDG_STATE_HOME=str(state))

    assert answer["status"] in {"failed", "crashed"}, answer
    assert "is full" in " ".join(answer["warnings"])
    assert (code, complaint) == (1, "")


@needs_mounts
def test_disk_without_any_room_is_an_error_that_names_the_place(make_project, tmp_path):
    state = tmp_path / "full"
    state.mkdir()
    mount = f"mount -t tmpfs -o size=40k none {shlex.quote(str(state))}"

    code, answer, complaint = run_with(mount, make_project({"test_a.py": FAILS}), XDG_STATE_HOME=str(state))

    assert str(state) in answer["error"]
    assert "No space left on device" in answer["error"]
    assert (code, complaint) == (3, "")


@needs_mounts
@pytest.mark.parametrize("known", [True, False], ids=["with a history", "without"])
def test_project_that_nobody_may_write_to_is_run(make_project, tmp_path, known):
    project = make_project({"test_a.py": "def test_good(): ..."})
    if known:
        (project / ".pytest-recall").mkdir()
    place = shlex.quote(str(project))

    code, answer, _ = run_with(f"mount --bind {place} {place} && mount -o remount,bind,ro {place}", project)

    assert (code, answer["status"], answer["counts"]) == (0, "passed", {"passed": 1, "collected": 1})
    assert sorted(path.name for path in project.iterdir()) == sorted(
        ["pytest.ini", "test_a.py", *([".pytest-recall"] if known else [])]
    )
