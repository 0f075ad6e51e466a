"""However a run ends, nothing of it is left, and how it ended is written down."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

SLEEPER = "import time; time.sleep(600)"
DAEMONS = f"""
    import os, subprocess, sys, time

    def test_starts_daemons(tmp_path):
        code = {SLEEPER!r}
        note = "import os; open(os.path.join({{!r}}, str(os.getpid())), 'w').close();".format(os.path.relpath(os.environ["NOTES"]))
        subprocess.Popen([sys.executable, "-c", note + code])
        subprocess.Popen([sys.executable, "-c", note + code], start_new_session=True)
        double = "import os; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0);"
        subprocess.Popen([sys.executable, "-c", double + note + code], env={{}})
        while len(os.listdir(os.environ["NOTES"])) < 3:
            time.sleep(0.01)
    """
HANG = """
    import os, time
    def test_before(): pass
    def test_hang():
        time.sleep(600)
    """


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def notes(probe, tmp_path):
    """A folder where processes started by the tests leave their pids."""
    folder = tmp_path / "notes"
    folder.mkdir()
    probe.env["NOTES"] = str(folder)
    return folder


def gone(launched, *pids):
    return launched.wait_for(lambda: not any(alive(pid) for pid in pids))


def test_daemons_do_not_survive_a_good_end(probe, notes):
    probe.write({"test_x.py": DAEMONS})
    ran = probe.run()
    ended = ran.json("exit.json")
    assert (ran.rc, ended["rc"], ended["clean"], ended["killed"]) == (0, 0, True, 3)
    assert all(SLEEPER in name for name in ended["names"])
    assert len(list(notes.iterdir())) == 3
    assert not any(alive(path.name) for path in notes.iterdir())


@pytest.mark.parametrize("way", ["K", "end of file", "SIGTERM"])
def test_everything_ends_at_once_when_told(probe, notes, way):
    probe.write({"test_x.py": DAEMONS + HANG})
    launched = probe.launch()
    launched.wait_for_fact("start", id="test_x.py::test_hang")
    pytest_pid = launched.wait_for_fact("session")["pid"]
    if way == "K":
        launched.tell(b"K")
    elif way == "SIGTERM":
        launched.process.terminate()
    else:
        launched.process.stdin.close()
    launched.process.wait(5)
    assert not any(alive(pid) for pid in [pytest_pid, *(path.name for path in notes.iterdir())])
    ran = launched.end()
    assert ran.json("exit.json")["rc"] == -signal.SIGKILL
    assert ran.json("exit.json")["clean"]
    assert ran.one("finish", id="test_x.py::test_before")


def test_death_of_the_server_ends_the_run(probe, tmp_path):
    """The server is killed; its end of the pipe closes with it."""
    probe.write({"test_x.py": HANG})
    server = tmp_path / "server.py"
    server.write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=sys.argv[1])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "cfg.json").write_text('{"args": ["-p", "no:cacheprovider"], "supervise": true}')
    process = subprocess.Popen(
        [sys.executable, str(server), str(probe.project), probe.python, str(probe.boot), str(run_dir)],
        stdout=subprocess.PIPE,
        env=probe.env,
    )
    with process:
        supervisor = int(process.stdout.readline())
        launched = probe.watch(process, run_dir)
        pytest_pid = launched.wait_for_fact("session")["pid"]
        launched.wait_for_fact("start", id="test_x.py::test_hang")
        process.kill()
        gone(launched, supervisor, pytest_pid)


def test_death_of_the_supervisor_ends_pytest(probe):
    probe.write({"test_x.py": HANG})
    launched = probe.launch()
    pytest_pid = launched.wait_for_fact("session")["pid"]
    launched.wait_for_fact("start", id="test_x.py::test_hang")
    launched.process.kill()
    gone(launched, pytest_pid)
    assert launched.end().json("exit.json") is None


def test_stacks_are_dumped_on_demand_and_the_run_goes_on(probe):
    probe.write(
        {
            "test_x.py": """
            import os, time
            def waits_for_a_file():
                open("inside", "w").close()
                while not os.path.exists("go"):
                    time.sleep(0.01)
            def test_waits():
                waits_for_a_file()
            """
        }
    )
    launched = probe.launch()
    pid = launched.wait_for_fact("session")["pid"]
    launched.wait_for((probe.project / "inside").exists)
    stack = launched.run_dir / f"stack-{pid}.txt"
    launched.tell(b"D")
    text = launched.wait_for_file(stack)
    launched.wait_for(lambda: "test_waits" in stack.read_text())
    assert text
    assert "waits_for_a_file" in stack.read_text()
    (probe.project / "go").touch()
    assert launched.end().rc == 0


def test_interrupt_runs_teardowns_and_ends_the_session(probe):
    probe.write(
        {
            "test_x.py": """
            import pytest, time
            @pytest.fixture
            def tidy():
                yield
                open("tidied", "w").close()
            def test_hang(tidy):
                open("inside", "w").close()
                while True:
                    time.sleep(0.01)
            """
        }
    )
    launched = probe.launch()
    launched.wait_for((probe.project / "inside").exists)
    launched.tell(b"I")
    ran = launched.end()
    assert ran.rc == 2
    assert ran.one("interrupt")["type"] == "KeyboardInterrupt"
    assert ran.one("sessionfinish")["exit"] == 2
    assert (probe.project / "tidied").exists()


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ("os._exit(0)", 0),
        ("os._exit(7)", 7),
        ("ctypes.string_at(0)", -signal.SIGSEGV),
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(600)", -signal.SIGTERM),
        ("os.killpg(0, signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_death_of_pytest_keeps_what_finished_and_names_the_test(probe, deed, code):
    probe.write(
        {
            "test_x.py": f"""
            import ctypes, os, signal, time
            def test_a(): pass
            def test_dies(): {deed}
            def test_c(): pass
            """
        }
    )
    ran = probe.run()
    assert ran.json("exit.json")["rc"] == code
    assert ran.rc == (code if code >= 0 else 128 - code)
    assert [fact["id"] for fact in ran.all("start")] == ["test_x.py::test_a", "test_x.py::test_dies"]
    assert [fact["id"] for fact in ran.all("finish")] == ["test_x.py::test_a"]
    assert ran.all("sessionfinish") == ran.all("end") == []
    if code == -signal.SIGSEGV:
        assert "test_dies" in "".join(ran.stacks().values())


@pytest.mark.parametrize(
    ("hook", "finished"),
    [
        ("pytest_runtest_protocol(item): yield; item.name == 'test_b' and os._exit(7)", "ab"),
        ("pytest_runtest_logfinish(nodeid): yield; nodeid.endswith('_b') and os._exit(7)", "ab"),
        ("pytest_runtestloop(session): yield; os._exit(7)", "abc"),
        ("pytest_sessionfinish(session): os._exit(7); yield", "abc"),
    ],
)
def test_death_after_a_test_and_before_the_next_keeps_what_finished(probe, hook, finished):
    probe.write(
        {
            "conftest.py": f"""
            import os, pytest
            @pytest.hookimpl(hookwrapper=True)
            def {hook}
            """,
            "test_x.py": """
            def test_a(): pass
            def test_b(): pass
            def test_c(): pass
            """,
        }
    )
    ran = probe.run()
    assert ran.rc == 7
    assert [fact["id"][-1] for fact in ran.all("finish")] == list(finished)


def test_death_at_exit_comes_after_the_end(probe):
    probe.write(
        {
            "conftest.py": "import atexit, os\natexit.register(os.abort)\n",
            "test_x.py": "def test_a(): pass\n",
        }
    )
    ran = probe.run()
    assert ran.json("exit.json")["rc"] == -signal.SIGABRT
    assert len(ran.all("end")) == 1


def test_stopped_process_is_ended_too(probe):
    probe.write({"test_x.py": "import os, signal\ndef test_a(): os.kill(os.getpid(), signal.SIGSTOP)\n"})
    launched = probe.launch()
    pid = launched.wait_for_fact("session")["pid"]
    launched.wait_for_fact("start")
    launched.tell(b"K")
    launched.process.wait(5)
    assert not alive(pid)


def test_process_that_forks_and_forks_is_ended(probe, notes):
    probe.write(
        {
            "test_x.py": """
            import os, subprocess, sys, time
            CHAIN = '''
            import os, time
            for number in range(300):
                if os.fork():
                    os._exit(0)
                if number == 20:
                    open(os.path.join(os.environ["NOTES"], "running"), "w").close()
                time.sleep(0.005)
            time.sleep(600)
            '''.replace("\\n            ", "\\n")
            def test_chain():
                subprocess.Popen([sys.executable, "-c", CHAIN], start_new_session=True)
                while not os.listdir(os.environ["NOTES"]):
                    time.sleep(0.01)
            """
        }
    )
    ran = probe.run()
    assert ran.json("exit.json")["clean"]


def test_what_is_about_to_end_by_itself_is_not_killed(probe):
    """multiprocessing's resource tracker gives back what the tests leaked, once pytest is gone."""
    probe.write(
        {
            "test_x.py": """
            import os, subprocess, sys
            TRACKER = "import sys, os; sys.stdin.read(); open('tracked', 'w').close()"
            def test_a():
                subprocess.Popen([sys.executable, "-S", "-c", TRACKER], stdin=subprocess.PIPE)
            """
        }
    )
    ran = probe.run("-W", "ignore")
    assert ran.json("exit.json")["killed"] == 0
    assert (probe.project / "tracked").exists()


def test_orphans_are_reaped_while_the_tests_run(probe):
    probe.write(
        {
            "test_x.py": """
            import os, subprocess, sys, time
            def zombies():
                found = 0
                for name in os.listdir("/proc"):
                    try:
                        fields = open("/proc/%s/stat" % name).read().rpartition(")")[2].split()
                    except OSError:
                        continue
                    found += fields[0] == "Z" and int(fields[1]) == os.getppid()
                return found
            def test_orphans():
                for _ in range(5):
                    subprocess.run([sys.executable, "-S", "-c", "import os\\nif os.fork(): os._exit(0)"])
                deadline = time.monotonic() + 20
                while zombies() and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert time.monotonic() < deadline  # one that ends only now is reaped in its turn
            """
        }
    )
    assert probe.run().rc == 0


@pytest.fixture
def without_reaper(probe):
    """As where there is no sub-reaper: a Python without ctypes, macOS."""
    probe.write({"../hide/ctypes.py": "raise ImportError('hidden')\n"})
    probe.env["PYTHONPATH"] = str(probe.folder / "hide")
    return probe


GROUP = """
    import os, subprocess, sys, time
    def test_leaves_a_child():
        code = "import os, time; open(os.path.join(os.environ['NOTES'], str(os.getpid())), 'w').close(); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", code])
        while not os.listdir(os.environ["NOTES"]):
            time.sleep(0.01)
    """


def test_group_of_pytest_does_not_survive_where_there_is_no_reaper(without_reaper, notes):
    without_reaper.write({"test_x.py": GROUP})
    launched = without_reaper.launch()
    ran = launched.end()
    assert ran.rc == ran.json("exit.json")["rc"] == 0
    gone(launched, *(path.name for path in notes.iterdir()))


def test_run_ends_when_told_where_there_is_no_reaper(without_reaper, notes):
    without_reaper.write({"test_x.py": GROUP + HANG})
    launched = without_reaper.launch()
    launched.wait_for_fact("start", id="test_x.py::test_hang")
    launched.tell(b"K")
    assert launched.end().json("exit.json")["rc"] == -signal.SIGKILL
    gone(launched, launched.wait_for_fact("session")["pid"], *(path.name for path in notes.iterdir()))


def test_missing_pytest_is_told_with_the_interpreter(probe, tmp_path):
    subprocess.run([probe.python, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    probe.python = str(tmp_path / "bare" / "bin" / "python")
    ran = probe.run()
    told = ran.json("boot.json")
    assert (told["error"], told["missing"], told["python"]) == ("no-pytest", "pytest", probe.python)
    assert ran.rc == 97
    assert "cannot import pytest" in ran.output


def test_boot_says_which_python_and_pytest_run(probe, target):
    probe.write({"test_x.py": "def test_a(): pass\n"})
    told = probe.run().json("boot.json")
    assert told["version"][:2] == target["python"]
    assert [int(part) for part in told["pytest"].split(".")[:2]] == target["pytest"]
    assert told["python"] == probe.python


def test_isolated_interpreter_works_too(probe):
    """`python -I boot.py` has no folder of its own in its path."""
    probe.write({"test_x.py": "import sys\ndef test_a(): assert sys.flags.isolated\n"})
    run_dir = probe.folder / "isolated"
    run_dir.mkdir()
    (run_dir / "cfg.json").write_text('{"args": ["-p", "no:cacheprovider"], "supervise": false}')
    done = subprocess.run(
        [probe.python, "-I", str(probe.boot), str(run_dir)],
        cwd=probe.project,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert b'"e":"end"' in (run_dir / "events.jsonl").read_bytes()


def test_watching_costs_next_to_nothing(probe):
    probe.write({"test_x.py": HANG})
    launched = probe.launch()
    launched.wait_for_fact("start", id="test_x.py::test_hang")
    pages = int(Path(f"/proc/{launched.process.pid}/statm").read_text().split()[1])
    assert pages * os.sysconf("SC_PAGE_SIZE") < 40_000_000
