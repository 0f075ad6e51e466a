"""Whoever is killed, and whenever: no process is left, no run that had ended is lost, no verdict is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from pytest_recall.answers import resource
from pytest_recall.model import Cancelled, Interrupted, Progress, RunRequest, Status
from pytest_recall.running import runner

# A daemon that knows nothing of us: another session, no environment, its parent gone.
LEAVES_A_DAEMON = """
    import subprocess, sys, time

    def test_before():
        twice = "import os, time\\nif os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\ntime.sleep(60)"
        subprocess.run([sys.executable, "-c", twice], env={}, check=True)

    def test_long():
        time.sleep(60)

    def test_after():
        pass
"""


@pytest.mark.parametrize(
    ("victim", "status"),
    [("guard", "interrupted"), ("supervisor", "interrupted"), ("pytest", "crashed")],
)
def test_killed_process_of_the_run_frees_none_of_the_others(
    victim: str, status: str, make_project, run_project, left_behind
) -> None:
    project = make_project({"test_a.py": LEAVES_A_DAEMON})
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.current.endswith("test_long") and not killed:
            killed.append(_chain(project)[victim])
            os.kill(killed[0], signal.SIGKILL)

    run, _ = run_project(project, RunRequest(timeout_s=30.0, resume=False), on_progress=kill)

    assert left_behind() == []
    assert killed
    assert run.status.value == status
    assert [test.id for test in run.tests if test.outcome.value == "passed"] == ["test_a.py::test_before"]


def test_stopped_run_tells_how_far_it_came(make_project, run_project, left_behind) -> None:
    project = make_project({"test_a.py": LEAVES_A_DAEMON})
    stop = anyio.Event()

    def halt(progress: Progress) -> None:
        if progress.current.endswith("test_long"):
            stop.set()

    run, _ = run_project(project, on_progress=halt, stop=stop)

    assert run.status is Status.CANCELLED
    assert run.terminations == (Cancelled(),)
    assert [test.id for test in run.tests] == ["test_a.py::test_before"]
    assert run.not_run == ("test_a.py::test_long", "test_a.py::test_after")
    assert left_behind() == []


def test_cancelled_run_leaves_neither_process_nor_folder(
    make_project, run_project, left_behind, tmp_path
) -> None:
    project = make_project({"test_a.py": LEAVES_A_DAEMON})
    scope: list[anyio.CancelScope] = []

    def cancel(progress: Progress) -> None:
        if progress.current.endswith("test_long"):
            scope[0].cancel()

    began = time.monotonic()
    with pytest.raises(LookupError, match="cancelled"):
        run_project(project, on_progress=cancel, scope=scope)

    assert left_behind() == []
    assert time.monotonic() - began < 8  # by the supervisor, not by the last resort after it
    assert [path.name for path in (tmp_path / "spool").iterdir() if not path.name.startswith("cargo-")] == []


SERVER = """
    import os, sys, time, anyio
    from pathlib import Path
    from pytest_recall.model import *
    from pytest_recall.running import runner, target

    project, spool = Path(sys.argv[1]), Path(sys.argv[2])

    async def keep(run, files):
        (project / "ended").touch()
        await anyio.sleep(60)

    async def main():
        found = target.resolve(project, explicit=sys.executable, environ=os.environ)
        request = RunRequest(timeout_s=30.0, intent="to be killed")
        await runner.run(request, found, run_id="lost", spool=spool, cache_dir=None,
            environ={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, revision=Revision(digest="same"),
            space="agent", source="test", client="killed 1.0", keep=keep)

    anyio.run(main)
"""


def test_run_whose_server_was_killed_is_told_by_the_next_process(make_project, tmp_path, left_behind) -> None:
    project = make_project(
        {
            "test_a.py": LEAVES_A_DAEMON.replace(
                "time.sleep(60)",
                "import logging; logging.warning('until then'); open('started', 'w').close(); time.sleep(60)",
            )
        }
    )
    spool = tmp_path / "spool"

    _kill_server(project, spool, project / "started", filled=spool / "lost" / "output")

    ((run, files, remove),) = runner.recover(spool)
    assert left_behind() == []
    assert run.id == "lost"
    assert run.status is Status.INTERRUPTED
    assert isinstance(run.terminations[0], Interrupted)
    assert (run.request.intent, run.client, run.target.python) == (
        "to be killed",
        "killed 1.0",
        sys.executable,
    )
    assert [(test.id, test.outcome.value) for test in run.tests] == [("test_a.py::test_before", "passed")]
    assert run.not_run == ("test_a.py::test_long", "test_a.py::test_after")
    assert b"test session starts" in files.output
    assert files.output.decode() == run.output_tail
    assert files.log.endswith(b"until then\n")
    remove()
    assert list(runner.recover(spool)) == []


def test_run_that_had_ended_survives_its_server_whole(make_project, tmp_path, left_behind) -> None:
    project = make_project({"test_a.py": "def test_good(): pass\n"})
    spool = tmp_path / "spool"

    _kill_server(project, spool, project / "ended")

    ((run, files, _),) = runner.recover(spool)
    assert left_behind() == []
    assert run.status is Status.PASSED
    assert run.counts == {"passed": 1, "collected": 1}
    assert "test_good" in resource.report(run, files)


def test_living_run_is_nobodys_to_recover(make_project, run_project, tmp_path) -> None:
    project = make_project({"test_a.py": "def test_good(): pass\n"})
    seen: list[object] = []

    async def keep(*_: object) -> None:
        seen.append(list(runner.recover(tmp_path / "spool")))

    run, _ = run_project(project, keep=keep)

    assert run.status is Status.PASSED
    assert seen == [[]]


def test_folder_of_a_torn_story_is_removed(tmp_path) -> None:
    folder = tmp_path / "spool" / "torn"
    folder.mkdir(parents=True)
    (folder / "owner.lock").touch()
    (folder / "run.json").write_text('{"id": 1')

    assert list(runner.recover(tmp_path / "spool")) == []
    assert not folder.exists()


def _kill_server(project: Path, spool: Path, *when: Path, filled: Path | None = None) -> None:
    """Run *project* in a server that is killed as soon as the files of *when* are there, and something is in *filled*."""
    script = project.parent / "server.py"
    script.write_text(textwrap.dedent(SERVER))
    server = subprocess.Popen([sys.executable, str(script), str(project), str(spool)], cwd="/")
    try:
        _until(lambda: all(path.exists() for path in when) and (filled is None or _lines(filled) > 1), server)
    finally:
        server.kill()
        server.wait()


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _until(fact: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    async def wait() -> None:
        with anyio.fail_after(30):
            while not fact():
                assert server.poll() is None
                await anyio.sleep(0.01)

    anyio.run(wait)


def _chain(project: Path) -> dict[str, int]:
    """The processes of the run that works in *project*: the first is the guard, then each one's oldest child."""
    parents = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "cwd").readlink() == project and b"guard.py" in (
                    process / "cmdline"
                ).read_bytes():
                    parents[int(process.name)] = int(
                        (process / "stat").read_text().rpartition(")")[2].split()[1]
                    )
            except OSError:
                continue
    guard = next(pid for pid, parent in parents.items() if parent not in parents)
    supervisor = next(pid for pid, parent in parents.items() if parent == guard)
    pytest_ = next(pid for pid, parent in parents.items() if parent == supervisor)
    return {"guard": guard, "supervisor": supervisor, "pytest": pytest_}
