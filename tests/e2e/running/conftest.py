"""Runs of small projects at the runner's own door: real pytests, no server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from pytest_recall.model import Outcome, Revision, Run, RunFiles, RunRequest
from pytest_recall.running import runner, target

RunProject = Callable[..., tuple[Run, RunFiles]]
TARGET = os.environ.get("RECALL_TARGET_PYTHON", sys.executable)  # the same tests on another pytest


@pytest.fixture
def python() -> str:
    """The interpreter whose pytest runs the projects."""
    return TARGET


@pytest.fixture
def run_project(tmp_path: Path) -> RunProject:
    """`run_project(folder, request)`: that run, by this interpreter's pytest; other arguments are the runner's.

    Of the plugins of this environment it has one that is named, or "all": to load them takes most of the time.
    """

    def run(
        project: Path, request: RunRequest | None = None, *, plugins: str = "", **more: Any
    ) -> tuple[Run, RunFiles]:
        environ = dict(os.environ)
        if plugins == "all":
            del environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]  # which is what every test has here
        elif plugins:
            environ["PYTEST_ADDOPTS"] = f"{environ.get('PYTEST_ADDOPTS', '')} -p {plugins}"
        # The projects' own temporary folders are numbered side by side with everybody's, and cleaned by anybody.
        environ["TMPDIR"] = str(tmp_path / "temporary")
        (tmp_path / "temporary").mkdir(exist_ok=True)
        known = {
            "run_id": "run",
            "spool": tmp_path / "spool",
            "cache_dir": tmp_path / "cache",
            "environ": environ,
            "revision": Revision(digest="same"),
            "space": "agent",
            "source": "test",
        }

        async def main() -> tuple[Run, RunFiles]:
            found = more.pop("target", None) or target.resolve(project, explicit=TARGET, environ=environ)
            with anyio.CancelScope() as scope:
                more.pop("scope", []).append(scope)
                return await runner.run(request or RunRequest(timeout_s=30.0), found, **(known | more))
            raise LookupError("cancelled")

        return anyio.run(main)

    return run


@pytest.fixture
def left_behind(tmp_path: Path) -> Callable[[], list[str]]:
    """The processes that still work in the test's folder, or were told of it, by looking."""

    def look() -> list[str]:
        mark = os.fsencode(tmp_path)
        return [
            command
            for cwd, command, environ in _processes()
            if cwd.is_relative_to(tmp_path) or mark in environ
        ]

    return look


def _processes() -> Iterator[tuple[Path, str, bytes]]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                yield (
                    (process / "cwd").readlink(),
                    (process / "cmdline").read_text(),
                    (process / "environ").read_bytes(),
                )
            except OSError:  # it has ended meanwhile, or is not ours
                continue


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[Run, float, list[str]], None]:
    """Note a run for the table of hazards, which `benchmarks/hazards.py` makes of it."""

    def note(run: Run, seconds: float, left: list[str]) -> None:
        finished = sum(test.outcome not in {Outcome.TIMED_OUT, Outcome.CRASHED} for test in run.tests)
        facts = {
            "status": run.status.value,
            "culprits": [culprit.partition("::")[2][:60] for culprit in run.culprits],
            "stacks": len(run.stacks),
            "kept": finished,
            "of": max(run.selected, len(run.tests)),
            "limit": run.request.timeout_s,
            "seconds": round(seconds, 2),
            "left": len(left),
        }
        record_property("hazard", json.dumps(facts))

    return note
