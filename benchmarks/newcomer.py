"""A newcomer's path, timed: from nothing to "my agent ran my tests", by the README's own commands.

    python benchmarks/newcomer.py            with uv's cache as it is
    python benchmarks/newcomer.py --cold     with an empty one: everything is downloaded

The commands are the block after `<!-- newcomer -->` in the README, run in a fresh home, in a copy of the sample project whose client
has never heard of us. The last step is the client's: what `install` wrote is started as that client starts it, and
`run_tests` is called. Ends with 1 when it took more than three commands or one minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mcp import Client

from pytest_recall.install import places, trial

ROOT = Path(__file__).parents[1]
MOST_COMMANDS = 3
MOST_S = 60.0


def commands(readme: str) -> list[str]:
    """The README's commands for a newcomer."""
    block = re.search(r"<!-- newcomer -->\s*```sh\n(.*?)```", readme, re.DOTALL)
    if block is None:
        raise LookupError("README.md has no block after '<!-- newcomer -->'")
    return [line for line in block[1].splitlines() if line.strip() and not line.startswith("#")]


def account(home: Path, *, cold: bool) -> tuple[dict[str, str], Path]:
    """The environment of a new account, and a project in it that has its own pytest."""
    project = home / "shop"
    shutil.copytree(ROOT / "examples" / "shop", project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    subprocess.run([sys.executable, "-m", "venv", project / ".venv"], check=True)
    pip = [project / ".venv" / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "pytest"]
    subprocess.run(pip, check=True)
    binaries = home / ".local" / "bin"
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "PYTHON", "VIRTUAL"))
    }
    cache = subprocess.run(["uv", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    environ |= {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "UV_CACHE_DIR": str(home / "cache") if cold else cache,
        "UV_PYTHON": sys.executable,
    }
    return environ, project


def walk(words: Sequence[str], environ: dict[str, str], project: Path) -> None:
    """Run *words* one by one, their example paths made real."""
    for line in words:
        started = time.perf_counter()
        real = line.replace("path/to/pytest-recall", str(ROOT)).replace("my/project", str(project))
        subprocess.run(
            ["bash", "-c", real], env=environ, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        print(f"{time.perf_counter() - started:6.1f} s  {line}", flush=True)


async def ask(environ: dict[str, str], project: Path) -> str:
    """The client's part: start what was written for it, and call `run_tests`; gives the run's status."""
    machine = places.machine(platform=sys.platform, home=Path(environ["HOME"]), environ=environ)
    [found] = [one for one in places.configured(machine, project) if isinstance(one, places.Configured)]
    started = time.perf_counter()
    async with Client(trial.parameters(found, machine, project), mode="legacy") as agent:
        answer = (await agent.call_tool("run_tests", {"intent": "my first run"})).structured_content or {}
    print(
        f"{time.perf_counter() - started:6.1f} s  {found.client.title}: run_tests → {answer.get('status')}, {answer.get('counts')}"
    )
    return str(answer.get("status"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    words = commands((ROOT / "README.md").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as home:
        environ, project = account(Path(home), cold=options.cold)
        started = time.perf_counter()
        walk(words, environ, project)
        ready = time.perf_counter()
        status = asyncio.run(ask(environ, project))
        seconds = time.perf_counter() - started
    print(
        f"{seconds:6.1f} s  in all, {ready - started:.1f} of them before the client was started; {len(words)} commands"
    )
    return (
        0 if status == "failed" and len(words) <= MOST_COMMANDS and seconds <= MOST_S else 1
    )  # the sample has failures


if __name__ == "__main__":
    sys.exit(main())
