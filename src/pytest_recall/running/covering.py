"""Coverage of a run: measured by the target's own tool, and read from the report that it makes in our folder.

Nothing of it lies in the project, and nothing is installed there: a target with neither pytest-cov nor
coverage is run without, and a note says what to install.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync

from pytest_recall.errors import quoted
from pytest_recall.history import patch
from pytest_recall.model import ChangeCoverage, Coverage, FileCoverage, Target
from pytest_recall.running import spool
from pytest_recall.running import target as targets
from pytest_recall.running.command import Command
from pytest_recall.running.process import Launcher, Output

Lines = Mapping[str, Sequence[int]]  # by path from the project's root

# What reading anything else than a report raises.
NO_REPORT = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
_WHOLE = 100.0
_FILES = 300  # kept of a run: those with most to cover
_RANGES = 400  # characters of the uncovered lines of one file
_MOST_BYTES = 64 * 2**20
_MOST_CHANGED = 200  # files of a change
_PAGES = 5  # reports in HTML that are kept


def missing(python: str) -> str:
    """Why *python*'s tests cannot be measured and what to do; empty where they can."""
    if targets.has(python, "pytest_cov") or targets.has(python, "coverage"):
        return ""
    return (
        "coverage: neither pytest-cov nor coverage is installed there, so it was not measured."
        f" Install one: {python} -m pip install pytest-cov"
    )


def ask(command: Command, folder: Path) -> None:
    """Make *command* one that measures, with its data in the launch's *folder*."""
    place = _data(folder)
    place.mkdir(mode=0o700)
    command.env["COVERAGE_FILE"] = str(place / ".coverage")  # what the tests start is measured too
    command.cfg["args"][:0] = ["-p", "recall_probe.covering"]


async def collect(
    target: Target,
    folder: Path,
    launches: Sequence[Path],
    *,
    environ: Mapping[str, str],
    cargo: Path,
    launcher: Launcher,
    html: Path | None,
    wants_html: bool,
    changed: Lines,
    limit_s: float,
) -> Coverage | str:
    """What the *launches* measured, reported in *folder* within *limit_s*; or why there is nothing to tell.

    The HTML report is made at *html* where it is wanted, by the caller or by the project's own options.
    """
    measured = [launch for launch in launches if _data(launch).is_dir() and any(_data(launch).iterdir())]
    if not measured:
        return "coverage: nothing was measured: the tests' process ended before it could write its data."
    told = spool.read(measured[0] / "covering.json")
    there = str(html) if html and (wants_html or told.get("html")) else ""
    script = str(cargo / "recall_probe" / "covered.py")
    argv = [target.python, script, str(folder), there, *map(str, measured)]
    output, done = Output(), False
    try:
        async with launcher(Command(argv, dict(environ), {}), cwd=target.root, output=output) as tree:
            with anyio.move_on_after(limit_s):
                await tree.gone()
                done = True
    except OSError as error:
        return f"coverage: its report could not be started: {error}"
    by, page = str(told.get("by"))[:60], Path(there) / "index.html"
    found = await run_sync(_found, folder / "coverage.json", changed, by, str(page) if page.is_file() else "")
    if isinstance(found, str) and not done:
        return f"coverage: its report took longer than the {limit_s:.0f} s that were left."
    return (
        found
        or f"coverage: no report could be made: {quoted(output.content()[-300:].decode('utf-8', 'replace'))}"
    )


def _found(path: Path, changed: Lines, by: str, html: str) -> Coverage | str:
    """What the report in *path* says, or what is wrong with it; nothing where it is torn or not there."""
    content = _load(path)
    if "error" in content:
        return f"coverage: no report could be made: {quoted(content['error'])}"
    if not content:
        return ""
    with suppress(*NO_REPORT):
        return read(content, changed, by=by, html=html)
    return "coverage: its report is in a format that is not known here."


def read(content: Mapping[str, Any], changed: Lines, *, by: str = "", html: str = "") -> Coverage:
    """*content*, a report in the format of `coverage json`, and what it says of the *changed* lines.

    Raises one of `NO_REPORT` where it is none.
    """
    totals, found = content["totals"], content["files"]
    percent = float(totals["percent_covered"])
    if not 0 <= percent <= _WHOLE:
        raise ValueError("no percentage")
    files = [_file(str(path), one) for path, one in found.items()]
    short = [one for one in files if one.missed or one.missed_branches]
    short.sort(key=lambda one: (-one.missed - one.missed_branches, one.path))
    return Coverage(
        percent=round(percent, 2),
        statements=int(totals["num_statements"]),
        missed=int(totals["missing_lines"]),
        branches=int(totals.get("num_branches", 0)),
        missed_branches=int(totals.get("missing_branches", 0)),
        measured=len(files),
        files=tuple(short[:_FILES]),
        change=_change(found, changed) if changed else None,
        by=by,
        html=html,
    )


def prune(pages: Path) -> None:
    """Forget all but the newest reports in HTML: they are large, and each is of one state of the sources."""
    with suppress(OSError):
        for old in sorted(pages.iterdir())[:-_PAGES]:
            shutil.rmtree(old, ignore_errors=True)


def ranges(lines: Sequence[int], most: int = _RANGES) -> str:
    """`3-5, 9`: *lines* in at most so many characters; what does not fit is counted."""
    runs = []
    for _, numbers in groupby(enumerate(sorted(set(lines))), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in numbers]
        runs.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]))
    shown, length = 0, 0
    while shown < len(runs) and length + len(runs[shown]) + 2 <= most:
        length += len(runs[shown]) + 2
        shown += 1
    text = ", ".join(runs[:shown])
    return f"{text}, … {len(runs) - shown} more" if shown < len(runs) else text


def _file(path: str, one: Mapping[str, Any]) -> FileCoverage:
    summary = one["summary"]
    return FileCoverage(
        path=path[:500],
        statements=int(summary["num_statements"]),
        missed=int(summary["missing_lines"]),
        branches=int(summary.get("num_branches", 0)),
        missed_branches=int(summary.get("missing_branches", 0)),
        missing=ranges([int(line) for line in one["missing_lines"]]),
    )


def _change(found: Mapping[str, Any], changed: Lines) -> ChangeCoverage:
    lines = covered = 0
    uncovered, unmeasured = [], []
    for path, numbers in list(changed.items())[:_MOST_CHANGED]:
        one = found.get(path)
        if one is None:
            if path.endswith(".py") and not patch.is_test_file(path):
                unmeasured.append(path[:500])
            continue
        executed, left = (
            set(numbers).intersection(one[kind]) for kind in ("executed_lines", "missing_lines")
        )
        lines += len(executed) + len(left)
        covered += len(executed)
        if left:
            uncovered.append((path[:500], ranges(sorted(left))))
    return ChangeCoverage(
        lines=lines, covered=covered, uncovered=tuple(uncovered), unmeasured=tuple(unmeasured)
    )


def _data(launch: Path) -> Path:
    return launch / "coverage"


def _load(path: Path) -> dict[str, Any]:
    """The report in *path*: a JSON object, or an empty one where there is none that can be read."""
    with suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        value = json.loads(file.read(_MOST_BYTES))
        if isinstance(value, dict):
            return value
    return {}
