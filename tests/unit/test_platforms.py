"""Windows and macOS, as far as another system can show them: layouts, folders, the Job Object's calls. Neither was run."""

import ctypes
import importlib.util
import subprocess
import sys
import threading
from ctypes import wintypes
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import anyio
import platformdirs.macos
import platformdirs.windows
import pytest

from pytest_recall.install.clients import CLIENTS, Machine
from pytest_recall.install.launch import ours
from pytest_recall.running import target
from pytest_recall.server import stdio
from recall_probe import places

pytestmark = pytest.mark.anyio
WINDOWS = Path(target.__file__).with_name("windows.py")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# --- where things are -----------------------------------------------------------------------


def test_the_probe_finds_the_servers_state_folder_on_a_mac(monkeypatch):
    monkeypatch.setattr(places.sys, "platform", "darwin")
    assert places._state() == platformdirs.macos.MacOS("pytest-recall").user_state_dir


@pytest.mark.parametrize("named", [True, False])
def test_the_probe_finds_the_servers_state_folder_on_windows(monkeypatch, named, tmp_path):
    local = str(tmp_path / "AppData" / "Local")
    monkeypatch.setattr(places.sys, "platform", "win32")
    monkeypatch.setattr(places.os.path, "expanduser", lambda _: str(tmp_path))
    monkeypatch.setattr(platformdirs.windows, "get_win_folder", lambda _: local)
    if named:
        monkeypatch.setenv("LOCALAPPDATA", local)
    else:
        monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert places._state() == platformdirs.windows.Windows("pytest-recall").user_state_dir


def test_a_windows_environment_is_found_beside_its_project(monkeypatch, tmp_path):
    monkeypatch.setattr(target, "_WINDOWS", True)
    monkeypatch.setattr(target, "_BIN", "Scripts")
    monkeypatch.setattr(target, "_PYTHON", "python.exe")
    python = tmp_path / ".venv" / "Scripts" / "python.exe"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = C:\\Python\n")
    (tmp_path / ".venv" / "Lib" / "site-packages" / "pytest").mkdir(parents=True)
    (tmp_path / ".venv" / "Lib" / "site-packages" / "pytest" / "__init__.py").touch()
    assert [found.python for found in target._beside(tmp_path)] == [python]
    assert target.environment(str(python)) == tmp_path / ".venv"
    assert target.has(str(python), "pytest")


def test_the_console_script_of_windows_is_an_exe(tmp_path):
    (tmp_path / "pytest-recall.exe").touch()
    made = ours(executable=r"C:\x\python.exe", scripts=tmp_path, found=None, windows=True)
    assert made.command == str(tmp_path / "pytest-recall.exe")
    assert made.args == ()


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.user])
def test_a_clients_file_lies_in_the_home_of_every_platform(name):
    homes = {
        "linux": PurePosixPath("/home/me"),
        "darwin": PurePosixPath("/Users/me"),
        "win32": PureWindowsPath(r"C:\Users\me"),
    }
    for platform, home in homes.items():
        path = CLIENTS[name].user(Machine(platform=platform, home=home, environ={}))
        assert type(path) is type(home)
        assert path.is_relative_to(home)


# --- Windows: ends and processes ------------------------------------------------------------


async def test_on_windows_a_server_waits_for_its_stdin_alone(monkeypatch):
    """There is no signal receiver: to ask for one would raise NotImplementedError."""
    served: list[str] = []

    class Server:
        async def run_stdio_async(self) -> None:
            served.append("until stdin closed")

    monkeypatch.setattr(stdio.sys, "platform", "win32")
    monkeypatch.setattr(stdio.anyio, "open_signal_receiver", None)
    await stdio.serve(Server())
    assert served == ["until stdin closed"]


class Kernel:
    """kernel32, as far as a job needs it: tells what it was asked for, and ends the process of the job."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.process: subprocess.Popen[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> int:
            self.said.append((name, *args))
            if name == "TerminateJobObject" and self.process is not None:
                self.process.kill()
            return 7  # a handle

        function = SimpleNamespace(call=call)
        made = type("Function", (), {"__call__": lambda _, *args: function.call(*args)})()
        setattr(self, name, made)
        return made


@pytest.fixture
def windows(monkeypatch) -> Any:
    """The module for Windows, loaded as there, over a kernel that only tells."""
    kernel = Kernel()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(wintypes, "DWORD", ctypes.c_uint32)  # a long of Windows has four bytes everywhere
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: kernel, raising=False)
    spec = importlib.util.spec_from_file_location("windows_elsewhere", WINDOWS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    module.kernel = kernel
    return module


def start(windows: Any, code: str) -> tuple[Any, subprocess.Popen[bytes]]:
    popen = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )
    popen._handle = 42
    windows.kernel.process = popen
    return windows.WindowsTree(popen), popen


def read_out() -> None:
    """Wait for the thread that reads: it closes the pipe at its end."""
    for thread in threading.enumerate():
        if "_pump" in thread.name:
            thread.join(10)


def asked(windows: Any) -> list[str]:
    return [name for name, *_ in windows.kernel.said]


async def test_a_launch_is_put_into_a_job_that_dies_with_its_handle(windows):
    tree, popen = start(windows, "print('hello')")
    await tree.gone()
    popen.wait()
    read_out()
    tree.close(lambda data: None)
    assert asked(windows) == [
        "CreateJobObjectW",
        "SetInformationJobObject",
        "AssignProcessToJobObject",
        "CloseHandle",
    ]
    _, handle, kind, _, size = windows.kernel.said[1]
    assert (handle, kind) == (7, 9)  # JobObjectExtendedLimitInformation
    assert size == ctypes.sizeof(windows._Limits)
    assert windows.kernel.said[2] == ("AssignProcessToJobObject", 7, 42)


@pytest.mark.skipif(sys.maxsize < 2**32, reason="the offsets are those of 64 bits")
def test_the_limits_are_laid_out_as_windows_reads_them(windows):
    limits = windows._Limits(LimitFlags=windows._KILL_ON_CLOSE)
    assert bytes(limits)[16:20] == (0x2000).to_bytes(4, "little")
    assert windows._Limits.MinimumWorkingSetSize.offset == 24
    assert windows._Limits.ProcessMemoryLimit.offset == 112
    assert ctypes.sizeof(windows._Limits) == 144


async def test_output_is_read_and_a_tree_is_ended_through_its_job(windows):
    tree, popen = start(windows, "print('hello', flush=True); import time; time.sleep(600)")
    said = bytearray()
    while b"hello" not in said:
        tree._take(said.extend)
        await anyio.sleep(0.01)
    assert tree.exit_code is None
    await tree.end()
    assert "TerminateJobObject" in asked(windows)
    assert popen.wait() != 0
    read_out()
    tree.close(said.extend)
