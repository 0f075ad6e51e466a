"""Plain pytest sessions that the plugin captured become runs: the same cells, the same verdicts, and each of them once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_recall import ci
from pytest_recall.errors import UnreadableRun
from pytest_recall.model import Outcome, Run, Status
from pytest_recall.running import captured, revision
from pytest_recall.store.codec import pack, unpack
from pytest_recall.store.roster import Roster

ROOT = Path(__file__).parents[2]
Kept = list[Run]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "test_x.py").write_text(
        "def test_a(recall): recall.metadata(build=7)\ndef test_b(): assert 1 == 2\n"
    )
    return root


def plain(root: Path, *args: str) -> int:
    """Plain pytest with the plugin; gives its exit code."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "recall_probe.plugin",
        "-p",
        "no:cacheprovider",
        "--recall",
    ]
    # Of these tests' own session: with them it would be a nested one, which is not captured.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*command, *args], cwd=root, env=environ, check=False, capture_output=True
    ).returncode


def inbox(root: Path) -> Path:
    return root / ".pytest-recall" / "inbox"


def take(root: Path, *, known: Callable[[str], bool] = lambda _: False) -> tuple[Kept, list[Path]]:
    kept: Kept = []
    aside: list[Path] = []
    captured.take(inbox(root), lambda run, _: kept.append(run), known=known, aside=aside.append)
    return kept, aside


def git(root: Path, *args: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *args], cwd=root, check=True, capture_output=True)


def test_a_captured_session_is_a_run_of_its_own_sort(project: Path) -> None:
    assert plain(project, "-k", "test_") == 1

    (run,), aside = take(project)

    assert not aside
    assert captured.waiting(inbox(project)) == []
    assert (run.source, run.space, run.status) == ("plugin", "local", Status.FAILED)
    assert run.counts == {"passed": 1, "failed": 1, "collected": 2}
    assert run.request.keyword == "test_"
    assert (run.target.root, run.rootdir) == (str(project), str(project))
    assert run.environment.packages
    assert run.tests[1].failures[0].exception == "AssertionError"
    assert [entry.fields for entry in run.tests[0].attempts[0].context] == [(("build", "7"),)]
    assert 0 < run.duration_s < 60
    assert run.notes == run.doubts == ()


@pytest.mark.parametrize(
    "state", ["outside git", "no commit", "clean", "edited", "untracked", "deleted", "link"]
)
def test_it_names_the_revision_as_our_own_runs_do(project: Path, state: str) -> None:
    if state != "outside git":
        git(project, "init", "-q")
    else:
        for name in (
            "rates.json",
            ".env",
            "report.xml",
            "data/report.xml",
            "logs/a.txt",
            ".idea/x.txt",
            "a.log",
        ):
            (project / name).parent.mkdir(exist_ok=True)
            (project / name).write_text(name)
    if state not in {"outside git", "no commit"}:
        (project / "data.bin").write_bytes(bytes(range(256)))
        git(project, "add", ".")
        git(project, "commit", "-qm", "one")
    match state:
        case "edited":
            (project / "test_x.py").write_text("def test_ä(): pass\n")
            (project / "test_x.py").chmod(0o755)
        case "untracked":
            (project / "ünü.py").write_text("x = 1\n")
            (project / "__pycache__").mkdir()
            (project / "__pycache__" / "x.pyc").write_bytes(b"x")
        case "deleted":
            (project / "data.bin").unlink()
        case "link":
            (project / "link.py").symlink_to("test_x.py")

    plain(project)

    (run,), _ = take(project)
    assert run.revision == revision.revision(project)
    assert not run.revision.digest.startswith("unknown")


def test_a_killed_session_is_told_with_its_culprit(project: Path) -> None:
    (project / "test_x.py").write_text(
        "import os\ndef test_a(): pass\ndef test_b(): os.kill(os.getpid(), 9)\ndef test_c(): pass\n"
    )
    assert plain(project) == -9

    (run,), _ = take(project)

    assert run.status is Status.CRASHED
    assert run.culprits == ("test_x.py::test_b",)
    assert {test.id.partition("::")[2]: test.outcome for test in run.tests} == {
        "test_a": Outcome.PASSED,
        "test_b": Outcome.CRASHED,
    }
    assert run.not_run == ("test_x.py::test_c",)


def test_a_session_that_goes_on_is_left_alone(project: Path) -> None:
    plain(project)
    (path,) = captured.waiting(inbox(project))
    head, *rest = path.read_text("utf-8").splitlines()
    stat = Path("/proc/self/stat").read_text()
    fact = json.loads(head) | {"pid": os.getpid(), "began": int(stat.rpartition(")")[2].split()[19])}
    path.write_text("\n".join([json.dumps(fact, separators=(",", ":")), *rest[:-2]]) + "\n", "utf-8")

    assert take(project) == ([], [])

    fact["began"] += 1  # another process of that number
    path.write_text("\n".join([json.dumps(fact, separators=(",", ":")), *rest[:-2]]) + "\n", "utf-8")
    (run,), _ = take(project)
    assert run.status is Status.CRASHED


def test_what_was_kept_before_a_crash_of_ours_is_not_kept_again(project: Path) -> None:
    plain(project)

    assert take(project, known=lambda _: True) == ([], [])
    assert captured.waiting(inbox(project)) == []


@pytest.mark.parametrize(
    "data", [b"", b"{}\n", b"\xff\xfe\0", b'{"e":"capture"}\n', b'{"e":"capture","format":1,"t":1,"id":7}\n']
)
def test_what_cannot_be_read_goes_aside_and_hinders_nobody(project: Path, data: bytes) -> None:
    plain(project)
    broken = inbox(project) / "00000000-0000-7000-8000-000000000000.jsonl"
    broken.write_bytes(data)

    kept, aside = take(project)

    assert (len(kept), aside) == (1, [broken])


def test_a_pipe_goes_aside_and_holds_nobody(project: Path) -> None:
    plain(project)
    broken = inbox(project) / "00000000-0000-7000-8000-000000000000.jsonl"
    os.mkfifo(broken)

    kept, aside = take(project)

    assert (len(kept), aside) == (1, [broken])


def test_a_later_versions_file_waits(project: Path) -> None:
    plain(project)
    (path,) = captured.waiting(inbox(project))
    path.write_text(path.read_text("utf-8").replace('"format":2', '"format":99', 1), "utf-8")

    assert take(project) == ([], [])
    assert captured.waiting(inbox(project)) == [path]


def test_an_artefact_of_ci_becomes_a_run_of_the_project_here(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_JOB", "unit")
    plain(project)
    (path,) = captured.waiting(inbox(project))

    run = captured.brought(path.read_bytes(), "/home/me/project", "ci")

    assert (run.target.root, run.rootdir, run.space) == ("/home/me/project", "/home/me/project", "ci")
    assert run.ci is not None
    assert (run.ci.provider, run.ci.job) == ("GitHub Actions", "unit")
    with pytest.raises(UnreadableRun):
        captured.brought(b'{"e":"session"}\n', "/home/me/project", "ci")


def test_the_run_survives_being_stored(project: Path) -> None:
    (project / "test_x.py").write_text(
        "import time\ndef test_a(): print('x'); time.sleep(0.02)\ndef test_b(): pass\n"
    )
    plain(project)
    (run,), _ = take(project)

    again = unpack(pack(run), lambda _: Roster(()))

    pairs = [
        (back, told)
        for left, right in zip(again.tests, run.tests, strict=True)
        for back, told in zip(left.attempts[0].costs, right.attempts[0].costs, strict=True)
    ]
    assert any(told.phase == "call" and told.output == 2 for _, told in pairs)
    for back, told in pairs:
        assert replace(back, cpu_s=0.0) == replace(told, cpu_s=0.0)
        assert back.cpu_s == pytest.approx(told.cpu_s, rel=0.02, abs=2e-4)


def probe(name: str) -> str:
    return (ROOT / "src" / "recall_probe" / name).read_text("utf-8")


def test_the_probe_records_the_variables_that_are_looked_at_and_redacts_as_we_do() -> None:
    text = probe("capture.py")
    listed = text[text.index("ENVIRON = (") : text.index(").split()")]
    assert {word for line in listed.splitlines()[1:] for word in line.strip(' "').split()} == set(ci.NAMES)
    assert probe("redact.py") == (ROOT / "src" / "pytest_recall" / "redact.py").read_text("utf-8")
