"""A disk without room, and a project that nobody may write to: a typed answer all the same. In a mount namespace of its own."""

import json
import os
import re
import shlex
import shutil
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


def read_only(project: Path) -> str:
    place = shlex.quote(str(project))
    return f"mount --bind {place} {place} && mount -o remount,bind,ro {place}"


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

    code, answer, _ = run_with(read_only(project), project)

    assert (code, answer["status"], answer["counts"]) == (0, "passed", {"passed": 1, "collected": 1})
    assert "this history is kept in" in " ".join(answer["warnings"])
    assert sorted(path.name for path in project.iterdir()) == sorted(
        ["pytest.ini", "test_a.py", *([".pytest-recall"] if known else [])]
    )


@needs_mounts
def test_what_plain_pytest_kept_beside_a_read_only_project_is_in_its_history_and_told_of_later(
    make_project, in_process
):
    project = make_project({"test_a.py": "def test_good(): ..."})
    plain = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "recall_probe.plugin",
        "--recall",
        "-p",
        "no:cacheprovider",
    ]
    look = [sys.executable, "-m", "pytest_recall", "history", "runs", "--json", "--project", str(project)]

    script = f"{read_only(project)} && {shlex.join([*plain, str(project)])} >&2 && exec {shlex.join(look)}"
    # With the variables of these tests' own session it would be a nested one, which is not captured.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = [*MOUNTS, "sh", "-c", script]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)

    answer = json.loads(done.stdout)
    assert len(answer["runs"]) == 1, (answer, done.stderr)
    (warning,) = answer["warnings"]
    assert "this history is kept in" in warning
    assert "Read-only file system" in warning
    later = json.loads(in_process("history", "runs", "--json", cwd=project).stdout)
    assert "1 run(s) are missing that were kept in" in later["warnings"][0]
    assert "runs" not in later


def a_file(part: Path) -> None:
    part.rmdir()
    part.touch()


def a_folder(part: Path) -> None:
    part.unlink()
    part.mkdir()


def a_loop(part: Path) -> None:
    part.rename(part.with_name("aside"))
    part.symlink_to(part)  # which nobody may enter, as with a mode that root does not care for


@pytest.mark.parametrize(
    ("part", "became"),
    [("inbox", a_file), ("rosters", a_file), ("broken", a_file), ("writer", a_folder), ("", a_loop)],
)
def test_store_that_cannot_be_opened_is_an_error_and_no_empty_past(make_project, in_process, part, became):
    project = make_project({"test_a.py": "def test_good(): ..."})
    assert "No run is kept" in in_process("history", "runs", cwd=project).stdout
    became(project / ".pytest-recall" / part)

    done = in_process("history", "runs", cwd=project)

    assert (done.returncode, done.stdout) == (3, "")
    assert re.search(rf"{part}'? is (no folder|a folder|no regular file). Move that away", done.stderr), (
        done.stderr
    )
    assert not (Path(os.environ["XDG_STATE_HOME"]) / "pytest-recall" / "stores").exists()


LIKE_OTHERS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
needs_modes = pytest.mark.skipif(
    bool(LIKE_OTHERS) and not shutil.which("setpriv"), reason="root may read everywhere, without setpriv"
)


def like_others(*words: str, project: Path) -> subprocess.CompletedProcess[str]:
    """That command by somebody whom modes of files keep out."""
    command = [*LIKE_OTHERS, sys.executable, "-m", "pytest_recall", *words]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@needs_modes
def test_store_that_may_not_be_entered_is_an_error_and_no_empty_past(make_project, in_process):
    project = make_project({"test_a.py": "def test_good(): ..."})
    in_process("history", "runs", cwd=project)
    (project / ".pytest-recall").chmod(0)

    done = like_others("history", "runs", project=project)
    (project / ".pytest-recall").chmod(0o700)

    assert (done.returncode, done.stdout) == (3, "")
    assert "Permission denied" in done.stderr


@needs_modes
def test_run_that_may_not_be_read_just_now_is_told_and_not_set_aside_as_a_torn_one(make_project, in_process):
    project = make_project({"test_a.py": "def test_good(): ..."})
    in_process("run", cwd=project)
    (run,) = (project / ".pytest-recall").glob("*/*.run")
    run.chmod(0)

    rebuilt = like_others("store", "rebuild", project=project)
    told = like_others("history", "runs", "--json", project=project)
    run.chmod(0o600)

    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "cannot be read just now: Permission denied" in told.stdout
    assert len(json.loads(in_process("history", "runs", "--json", cwd=project).stdout)["runs"]) == 1
