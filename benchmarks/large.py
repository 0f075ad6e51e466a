"""A suite of 200,000 tests, and discoveries of large public ones, through a real server: memory, progress, disk.

python benchmarks/large.py run [--tests 200000] [--failing 0]
python benchmarks/large.py discover FOLDER [--python PYTHON]

The first makes a parametrised suite and runs it by `run_tests`; the second lists an existing one by
`discover_tests`, twice. Both tell the server's highest memory (its own process; the index has another), how
often progress came and whether it ever fell, and how large the run folder grew. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters

SUITE = """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_number(number):
    assert number >= {failing}, "x" * 1_000
"""
MIB = 2**20


class Watch:
    """What is seen of the server from outside while it works."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.progress: list[tuple[float, float]] = []  # when, how far
        self.spool = 0
        self.memory = 0
        self.began = time.monotonic()

    async def told(self, progress: float, _total: float | None, _message: str | None) -> None:
        self.progress.append((time.monotonic() - self.began, progress))

    async def look(self) -> None:
        while True:
            self.spool = max(self.spool, sum(_size(path) for path in self._state.rglob("*")))
            self.memory = max([self.memory, *(_highest(pid) for pid in _servers(self._state))])
            await anyio.sleep(0.5)

    def show(self) -> None:
        a_second = max(
            (sum(1 for at, _ in self.progress if start <= at < start + 1) for start, _ in self.progress),
            default=0,
        )
        rising = all(before <= after for (_, before), (_, after) in itertools.pairwise(self.progress))
        print(
            f"  server at most {self.memory / MIB:.0f} MiB · run folder at most {self.spool / MIB:.0f} MiB\n"
            f"  progress told {len(self.progress)} times, at most {a_second} in a second,"
            f" {'always rising' if rising else 'NOT RISING'}"
        )


def _servers(state: Path) -> list[int]:
    mark = os.fsencode(f"XDG_STATE_HOME={state}")
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (
                    b"serve" in (process / "cmdline").read_bytes()
                    and mark in (process / "environ").read_bytes()
                ):
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def _highest(pid: int) -> int:
    """Bytes of memory that the process has had at most."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@asynccontextmanager
async def server(project: Path, state: Path, python: str) -> AsyncIterator[tuple[Client, Watch]]:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "pytest_recall", "serve", "--project", str(project), "--python", python],
        env={**os.environ, "XDG_STATE_HOME": str(state), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    watch = Watch(state)
    async with Client(parameters) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(watch.look)
        yield client, watch
        tasks.cancel_scope.cancel()


async def call(client: Client, watch: Watch, tool: str, **arguments: Any) -> dict[str, Any]:
    began = time.monotonic()
    result = await client.call_tool(tool, arguments, progress_callback=watch.told, read_timeout_seconds=3_600)
    content = result.structured_content or {}
    size = sum(len(getattr(block, "text", "")) for block in result.content)
    print(f"{tool}: {time.monotonic() - began:.1f} s, an answer of {size} characters")
    return content


async def run(tests: int, failing: int, scratch: Path) -> None:
    project = scratch / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "test_large.py").write_text(SUITE.format(tests=tests, failing=failing))
    async with server(project, scratch / "state", sys.executable) as (client, watch):
        answer = await call(client, watch, "run_tests", timeout_s=3_000, wait_s=600)
        while answer.get("status") == "running":
            answer = await call(client, watch, "run_tests", run_id=answer["run_id"], wait_s=600)
        print(f"  {answer.get('status')}: {answer.get('counts')}, {answer.get('duration_s')} s")
        watch.show()


async def discover(folder: Path, python: str, scratch: Path) -> None:
    async with server(folder, scratch / "state", python) as (client, watch):
        for _ in range(2):
            answer = await call(client, watch, "discover_tests", timeout_s=600)
            told = {key: answer.get(key) for key in ("total", "cached", "error") if answer.get(key)}
            print(f"  {told}, {len(answer.get('errors', []))} errors shown")
        watch.show()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ways = parser.add_subparsers(dest="way", required=True)
    running = ways.add_parser("run")
    running.add_argument("--tests", type=int, default=200_000)
    running.add_argument("--failing", type=int, default=0)
    discovering = ways.add_parser("discover")
    discovering.add_argument("folder", type=Path)
    discovering.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-") as scratch:
        if options.way == "run":
            anyio.run(run, options.tests, options.failing, Path(scratch))
        else:
            anyio.run(discover, options.folder.resolve(), options.python, Path(scratch))


if __name__ == "__main__":
    main()
