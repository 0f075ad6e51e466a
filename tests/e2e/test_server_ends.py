"""However the server ends, no process of a run survives, and no run that had ended is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest

pytestmark = pytest.mark.anyio

# A test that starts a child in a session of its own and a double-forked daemon, notes all pids, and never ends.
HANGS = {
    "test_hang.py": """
        import os, subprocess, sys, time

        def test_first(): ...

        def test_hang():
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    with open("daemon.tmp", "w") as file:
                        file.write(str(os.getpid()))
                    os.rename("daemon.tmp", "daemon")
                    time.sleep(600)
                os._exit(0)
            while not os.path.exists("daemon"):
                time.sleep(0.01)
            with open("pids.tmp", "w") as file:
                file.write(f"{os.getpid()} {child.pid} {open('daemon').read()}")
            os.rename("pids.tmp", "pids")
            time.sleep(600)
    """
}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(fact, seconds: float = 15) -> bool:
    """Whether *fact* comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.02)
    return False


@contextmanager
def serving(project: Path) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "pytest_recall", "serve", "--project", str(project)]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        greet(server)
        yield server
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        with suppress(BrokenPipeError):
            server.stdin.close()


def send(server: subprocess.Popen, message: dict) -> None:
    server.stdin.write((json.dumps({"jsonrpc": "2.0", **message}) + "\n").encode())
    server.stdin.flush()


def greet(server: subprocess.Popen) -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    send(server, {"id": 1, "method": "initialize", "params": hello})
    server.stdout.readline()
    send(server, {"method": "notifications/initialized"})


def run_tests(server: subprocess.Popen, **arguments) -> None:
    send(server, {"id": 2, "method": "tools/call", "params": {"name": "run_tests", "arguments": arguments}})


@pytest.mark.parametrize("how", ["eof", "SIGTERM", "SIGINT", "SIGKILL", "cancel"])
def test_no_process_of_a_run_survives(make_project, how):
    project = make_project(HANGS)
    with serving(project) as server:
        run_tests(server)
        assert wait_until((project / "pids").exists)
        pids = [int(pid) for pid in (project / "pids").read_text().split()]
        assert len(pids) == 3
        assert all(map(alive, pids))
        if how == "eof":
            server.stdin.close()
        elif how == "cancel":
            send(server, {"method": "notifications/cancelled", "params": {"requestId": 2}})
        else:
            server.send_signal(getattr(signal, how))
        assert wait_until(lambda: not any(map(alive, pids))), [pid for pid in pids if alive(pid)]
        if how != "cancel":
            assert wait_until(lambda: server.poll() is not None)


async def test_what_had_finished_before_the_server_was_killed_is_in_the_next_ones_history(
    make_project, connect
):
    project = make_project(HANGS)
    with serving(project) as server:
        run_tests(server, intent="killed on the way")
        assert wait_until((project / "pids").exists)
    pids = [int(pid) for pid in (project / "pids").read_text().split()]
    assert wait_until(lambda: not any(map(alive, pids)))
    async with connect(project) as agent:
        with anyio.fail_after(20):
            runs = (await agent.call("test_history", view="runs"))["runs"]
    assert [run["intent"] for run in runs] == ["killed on the way"]
    assert runs[0]["status"] == "interrupted"
    assert runs[0]["counts"]["passed"] == 1


async def test_a_run_whose_session_had_ended_is_whole_after_a_kill(make_project, connect):
    # The session is over, and the process lingers: the moment between the last fact and the journal.
    project = make_project(
        {
            "test_a.py": "def test_a(): ...",
            "conftest.py": """
                import atexit, os, time

                def linger():
                    open("over", "w").close()
                    time.sleep(600)

                def pytest_unconfigure():
                    atexit.register(linger)
            """,
        }
    )
    with serving(project) as server:
        run_tests(server)
        assert wait_until((project / "over").exists)
    async with connect(project) as agent:
        runs = (await agent.call("test_history", view="runs"))["runs"]
    assert len(runs) == 1
    assert runs[0]["counts"] == {"collected": 1, "passed": 1}


def test_nothing_of_ours_reaches_the_tests(make_project):
    project = make_project(
        {
            "test_env.py": """
                import os, sys

                def test_env():
                    assert not [name for name in os.environ if "RECALL" in name.upper()]
                    assert "SECRET_OF_OURS" not in os.environ.get("CHROMA_API_KEY", "")
                    assert "pytest_recall" not in sys.modules
                    assert sys.stdin.read() == "" if not sys.stdin.isatty() else True
            """
        }
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest_recall", "run", "--project", str(project), "--json", "-s"],
        env={**os.environ, "CHROMA_API_KEY": "SECRET_OF_OURS"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["status"] == "passed", done.stdout + done.stderr
    assert done.returncode == 0


async def test_the_stores_folder_is_made_anew_where_it_was_removed_and_the_answer_says_so(
    make_project, connect
):
    project = make_project({"test_a.py": "def test_a(): ..."})
    async with connect(project) as agent:
        await agent.call("run_tests")
        await agent.call("test_history", view="similar", text="KeyError")  # the index is open
        shutil.rmtree(project / ".pytest-recall")
        answer = await agent.call("test_history", view="runs")
        assert not answer.get("runs")
        assert "was removed while this server was running" in " ".join(answer["warnings"])
        kept = await agent.call("run_tests")
        await agent.call("record_note", about="test_a.py::test_a", text="it is quick")
        assert [run["run_id"] for run in (await agent.call("test_history", view="runs"))["runs"]] == [
            kept["run_id"]
        ]
        answer = await agent.call("test_history", view="similar", text="KeyError")
        assert "alone" not in " ".join(answer["warnings"]), "the index answers again"
    async with connect(project) as agent:
        answer = await agent.call("test_history", view="run", run_id=kept["run_id"])
        assert answer["run"]["run_id"] == kept["run_id"]
        assert not answer.get("warnings")
