"""Plain pytest with the plugin, on real projects: does the history say what pytest said, and what does it cost?

`python benchmarks/capture.py TARGETS WHEEL [--extra SITE] [NAME…]`: TARGETS holds `<name>/{src/<dir>,venv,truth/truth.json}`, where
the truth is what plain pytest told of each test; WHEEL is the built plugin; SITE has pytest-xdist and pytest-rerunfailures
for the targets' Python. Each project is copied, run in four ways (plain, `-n 2`, `--reruns 2`, nox), and taken in by the real
command; the table says how many tests have another outcome than in the truth.

Then the cost, which is all that `--cost` looks at: `--recall` beside the same run without, in `--pairs` of alternating order
after one to warm up; medians of CPU (git's part too) and wall, and of the pairs' ratios. The copy is a git repository, as
projects are. `--instructions` counts those of one run of each by valgrind, which no other work on the machine changes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

NOXFILE = """
import nox
@nox.session(python=False)
def tests(session):
    session.run({python!r}, "-m", "pytest", "-q", "-p", "no:cacheprovider", external=True)
"""
# valgrind is fifty times slower, and what is told of slow phases would be told of all.
SLOWLY = """
def pytest_configure():
    from recall_probe import measuring, reporting
    measuring._QUIET_S = reporting._QUIET_S = 50 * 0.005
"""
COUNTED = re.compile(r"Collected : (\d+)")


class Cost(NamedTuple):
    cpu: float
    wall: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", type=Path)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--extra", type=Path)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--instructions", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        zipfile.ZipFile(options.wheel).extractall(site)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed wheel is compiled
        names = options.names or sorted(path.name for path in options.targets.iterdir())
        for name in names:
            target = Target(options.targets / name, Path(folder) / name, site, options.extra)
            for way, differing, number in () if options.cost or options.instructions else target.checked():
                print(f"{name:16} {way:12} {number:6} tests, {differing} told otherwise", flush=True)
            if options.instructions:
                print(f"{name:16} cost         {target.instructions()}", flush=True)
            else:
                print(f"{name:16} cost         {target.cost(options.pairs)}", flush=True)


class Target:
    def __init__(self, folder: Path, work: Path, site: Path, extra: Path | None) -> None:
        self.truth = json.loads((folder / "truth" / "truth.json").read_text("utf-8"))
        self.python = str(folder / "venv" / "bin" / "python")
        (source,) = (folder / "src").iterdir()
        shutil.copytree(source, work, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        (site / "slowly.py").write_text(SLOWLY)
        git = ["git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost", "-C", str(work)]
        for args in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "As it is"]):
            subprocess.run([*git, *args], check=True, capture_output=True)
        self.work, self.site, self.extra = work, site, extra

    def run(self, *args: str, recall: bool = True, nox: bool = False, counted: bool = False) -> Cost:
        """One run; *counted*: `cpu` is how many instructions it took."""
        paths = [str(self.work / "src"), str(self.site), *([str(self.extra)] if self.extra else [])]
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        env |= {"PYTHONPATH": os.pathsep.join(paths if recall else [paths[0], *paths[2:]])}
        env |= {"PYTEST_RECALL": "1"} if recall else {}
        command = [self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]
        if counted:
            command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]
            env["PYTHONHASHSEED"] = "0"
        if nox:
            noxfile = self.work / "noxfile_recall.py"
            noxfile.write_text(NOXFILE.format(python=self.python))
            command = [sys.executable, "-m", "nox", "-f", str(noxfile)]
            env["PYTHONPATH"] = ""
            env |= {"PYTHONPATH": os.pathsep.join(paths[:2])}
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ran = subprocess.run(command, cwd=self.work, env=env, check=False, capture_output=True)
        took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if counted:
            return Cost(sum(map(int, COUNTED.findall(ran.stderr.decode("utf-8", "replace")))), took)
        return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took)

    def checked(self) -> Iterator[tuple[str, int, int]]:
        ways = [("plain", {}, ())]
        if self.extra:
            ways += [("-n 2", {}, ("-n", "2")), ("--reruns 2", {}, ("--reruns", "2"))]
        ways.append(("nox", {"nox": True}, ()))
        expected = outcomes(self.truth["reports"])
        for way, how, args in ways:
            self.run(*args, **how)
            told = self.taken_in()
            yield way, len(set(expected.items()) ^ set(told.items())), len(told)

    def taken_in(self) -> dict[str, str]:
        recall = [sys.executable, "-m", "pytest_recall"]
        project = ["--project", str(self.work), "--json"]
        subprocess.run([*recall, "ingest", *project], check=False, capture_output=True)
        exported = self.work.parent / "run.json"
        subprocess.run(
            [*recall, "export", "--format", "ctrf", "-o", str(exported), *project],
            check=False,
            capture_output=True,
        )
        run = json.loads(exported.read_text("utf-8"))
        shutil.rmtree(self.work / ".pytest-recall")
        return {test["name"]: test["status"] for test in run["results"]["tests"]}

    def cost(self, pairs: int) -> str:
        plain, captured = [], []
        for turn in range(pairs + 1):
            for recall in (turn % 2 == 0, turn % 2 == 1):
                spent = self.run(recall=recall)
                if turn:
                    (captured if recall else plain).append(spent)
        both = list(zip(plain, captured, strict=True))
        cpu, wall = (
            statistics.median(getattr(ours, of) / getattr(other, of) for other, ours in both)
            for of in Cost._fields
        )
        more = statistics.median(ours.cpu - other.cpu for other, ours in both)
        without, with_ = (statistics.median(spent.cpu for spent in way) for way in (plain, captured))
        return (
            f"CPU {without:.2f} s plain, {with_:.2f} s with --recall: {100 * (cpu - 1):+.1f} % ({1000 * more:+.0f} ms),"
            f" wall {100 * (wall - 1):+.1f} %"
        )

    def instructions(self) -> str:
        for counted in (False, True):  # byte code first
            plain = self.run("-p", "no:randomly", recall=False, counted=counted).cpu
            captured = self.run("-p", "no:randomly", "-p", "slowly", counted=counted).cpu
        return f"{plain / 1e6:,.0f} M instructions plain, {100 * (captured / plain - 1):+.2f} % with --recall"


def outcomes(reports: list[dict[str, Any]]) -> dict[str, str]:
    """The status of each test in CTRF's words, from what plain pytest told."""
    found = {}
    for report in reports:
        words = {"passed": "passed", "skipped": "skipped", "failed": "failed"}
        status = words.get(report["outcome"], "other")
        if report["when"] == "call" or status != "passed":
            found[report["id"]] = status
    return found


if __name__ == "__main__":
    main()
