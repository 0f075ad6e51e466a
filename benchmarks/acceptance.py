"""Our record of real public suites beside plain pytest's own: ids, outcomes and counts must be equal.

    python benchmarks/acceptance.py WORK [NAME …]

WORK is what `../shared/targets/setup.py WORK` made. Each target is run over a real stdio client in its own
environment, on a copy of its sources; then the copy is looked through for files that a run left behind.
Prints a Markdown table; exit status 1 when a target differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters

TARGETS = Path(__file__).parents[2] / "shared" / "targets" / "targets.toml"
SUBTESTS = {"subtests passed": "subtests_passed", "subtests failed": "subtests_failed"}
LEFT_BY_PYTEST = {"__pycache__", ".pytest_cache", ".pytest-recall", ".benchmarks", ".hypothesis"}


def expected(truth: dict[str, Any]) -> tuple[Counter[tuple[str, str]], dict[str, int]]:
    """Plain pytest's (id, outcome) pairs, and its counts under our names."""
    pairs = Counter((row["id"], row["outcome"]) for row in truth["reports"] if row["outcome"] not in SUBTESTS)
    return pairs, {SUBTESTS.get(name, name): number for name, number in truth["counts"].items()}


async def measure(target: dict[str, Any], work: Path, aside: Path) -> tuple[bool, str]:
    """Run one target through our server; whether all is equal, and its row of the table."""
    folder = work / target["name"]
    truth = json.loads((folder / "truth" / "truth.json").read_text("utf-8"))
    wheel = target.get("source") == "wheel"
    source = folder if wheel else next(path for path in (folder / "src").iterdir() if path.is_dir())
    before = _files(source)
    args = target.get("args", [])
    server = StdioServerParameters(
        command=sys.executable,
        args=[
            "-m",
            "pytest_recall",
            "serve",
            "--project",
            str(source),
            "--python",
            str(folder / "venv/bin/python"),
        ],
        env={
            **os.environ,
            "PYTEST_RECALL_STORE_FOLDER": str(aside / target["name"]),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
        },
    )
    began = time.perf_counter()
    async with Client(server) as client:
        call = {
            "tests": [arg for arg in args if not arg.startswith("-")],
            "args": [arg for arg in args if arg.startswith("-")],
            "timeout_s": 1_800,
            "wait_s": 900,
        }
        result = await client.call_tool("run_tests", call, read_timeout_seconds=1_000)
        if result.is_error:
            return False, f"| {target['name']} | {result.content[0].text} |"
        answer = result.structured_content or {}
        text = result.content[0].text
        whole = await client.read_resource(f"pytest-recall://runs/{answer['run_id']}")
    seconds = time.perf_counter() - began
    run = json.loads(whole.contents[0].text)
    ours = Counter((test["id"], _outcome(test)) for test in run["tests"])
    ours += Counter((collector["id"], collector["outcome"]) for collector in run["collectors"])
    theirs, counts = expected(truth)
    counted = {name: number for name, number in answer["counts"].items() if name != "collected"}
    left = _files(source) - before
    problems = [
        f"{sum(((ours - theirs) + (theirs - ours)).values())} differ" if ours != theirs else "",
        f"counts {counted} for {counts}" if counted != counts else "",
        f"left {sorted(left)[:3]}" if left else "",
        f"doubts {run.get('doubts')}" if run.get("doubts") else "",
    ]
    said = "; ".join(filter(None, problems)) or "equal"
    return said == "equal", (
        f"| {target['name']} {target['version']} | {truth['pytest']} | {len(run['tests'])} | {answer['status']} "
        f"| {len(text)} | {seconds:.1f} | {truth['seconds']:.1f} | {said} |"
    )


def _outcome(test: dict[str, Any]) -> str:
    return str(test["attempts"][-1]["outcome"])


def _files(root: Path) -> set[str]:
    found = set()
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_BY_PYTEST]
        found |= {str(Path(folder, name).relative_to(root)) for name in files}
    return found


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--targets", type=Path, default=TARGETS, help="their descriptions")
    options = parser.parse_args()
    targets = [t for t in tomllib.loads(options.targets.read_text("utf-8"))["target"] if t["set"] == "public"]
    print(
        "| target | pytest | tests | status | answer, characters | ours, s | recorded plain run, s | against truth |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    good = True
    aside = Path(tempfile.mkdtemp(prefix="acceptance-"))
    try:
        for target in targets:
            if not options.names or target["name"] in options.names:
                equal, row = await measure(target, options.work.absolute(), aside)
                good &= equal
                print(row, flush=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(anyio.run(main))
