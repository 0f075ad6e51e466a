"""What our run costs beside plain pytest: `python benchmarks/overhead.py TARGETS [NAME …] [--pairs N]`.

TARGETS is a folder of projects, each with `src/<project>/`, `venv/` and `truth/truth.json` (as
`setup.py` of the public targets makes them). Each pair runs both, in alternating order, in the same
environment; the table gives medians of wall and CPU seconds (all processes, this one's part too)
and of the pairs' ratios. Then: the fixed cost for a suite of ten tests, and discovery.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio

from pytest_recall.model import Discovery, Revision, Run, RunRequest, Target
from pytest_recall.running import runner, target


class Cost(NamedTuple):
    wall: float
    cpu: float


class Project(NamedTuple):
    name: str
    target: Target
    args: list[str]  # what follows `pytest -q`

    @property
    def request(self) -> RunRequest:
        return RunRequest(
            tests=tuple(arg for arg in self.args if not arg.startswith("-")),
            args=tuple(arg for arg in self.args if arg.startswith("-")),
            timeout_s=900.0,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    projects = [
        project(folder) for folder in sorted(options.targets.iterdir()) if (folder / "truth").is_dir()
    ]
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        bench.suites([p for p in projects if not options.names or p.name in options.names], options.pairs)
        bench.ten_tests(projects[0].target.python, options.pairs)


def project(folder: Path) -> Project:
    truth = json.loads((folder / "truth" / "truth.json").read_text())
    root = next((folder / "src").iterdir())
    found = target.resolve(root, explicit=str(folder / "venv"), environ=os.environ)
    return Project(folder.name, found, truth["command"][2:])


class Bench:
    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.number = 0

    def suites(self, projects: Sequence[Project], pairs: int) -> None:
        print("| suite | tests | plain s | ours s | wall | CPU | collect plain s | ours s | wall |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for item in projects:
            tests = 0

            def ours(item: Project = item) -> None:
                nonlocal tests
                tests = len(self.run(item).tests)

            run = self.pairs(lambda item=item: self.plain(item), ours, pairs)
            collect = self.pairs(
                lambda item=item: self.plain(item, "--collect-only"),
                lambda item=item: self.discover(item),
                pairs,
            )
            print(
                f"| {item.name} | {tests} | {run.plain.wall:.2f} | {run.ours.wall:.2f} | {run.wall:.3f} | {run.cpu:.3f}"
                f" | {collect.plain.wall:.2f} | {collect.ours.wall:.2f} | {collect.wall:.3f} |",
                flush=True,
            )

    def ten_tests(self, python: str, pairs: int) -> None:
        folder = self.scratch / "ten"
        folder.mkdir()
        (folder / "test_ten.py").write_text("".join(f"def test_{number}(): pass\n" for number in range(10)))
        ten = Project("ten", target.resolve(folder, explicit=python, environ=os.environ), [])
        both = self.pairs(lambda: self.plain(ten), lambda: self.run(ten), 3 * pairs)
        wall, cpu = both.ours.wall - both.plain.wall, both.ours.cpu - both.plain.cpu
        print(
            f"\nTen tests: plain {both.plain.wall * 1000:.0f} ms, ours {both.ours.wall * 1000:.0f} ms:"
            f" {wall * 1000:.0f} ms more wall, {cpu * 1000:.0f} ms more CPU."
        )

    def pairs(self, plain: Callable[[], object], ours: Callable[[], object], number: int) -> Both:
        """Both, *number* times after one to warm up; the order alternates."""
        costs: dict[bool, list[Cost]] = {True: [], False: []}
        for turn in range(number + 1):
            for mine in (turn % 2 == 0, turn % 2 == 1):
                cost = measured(ours if mine else plain)
                if turn:
                    costs[mine].append(cost)
        return Both(costs[False], costs[True])

    def plain(self, item: Project, *more: str) -> None:
        command = [
            item.target.python,
            "-m",
            "pytest",
            "-q",
            f"-ocache_dir={self.scratch}/plain",
            *more,
            *item.args,
        ]
        subprocess.run(
            command, cwd=item.target.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )

    def run(self, item: Project) -> Run:
        # What a main task gives back itself is put in words, all of it, by the `signal.getsignal` of asyncio.
        done: list[Run] = []

        async def start() -> None:
            self.number += 1
            run, _ = await runner.run(
                item.request,
                item.target,
                run_id=f"run-{self.number}",
                spool=self.scratch / "spool",
                cache_dir=self.scratch / "cache",
                environ=os.environ,
                revision=Revision(digest="same"),
                space="local",
                source="benchmark",
            )
            done.append(run)

        anyio.run(start)
        return done[0]

    def discover(self, item: Project) -> Discovery:
        done: list[Discovery] = []

        async def start() -> None:
            found = await runner.discover(
                item.request,
                item.target,
                detail="names",
                timeout_s=900.0,
                spool=self.scratch / "spool",
                cache_dir=self.scratch / "cache",
                environ=os.environ,
            )
            done.append(found)

        anyio.run(start)
        return done[0]


class Both:
    def __init__(self, plain: list[Cost], ours: list[Cost]) -> None:
        self.plain = Cost(*(statistics.median(values) for values in zip(*plain, strict=True)))
        self.ours = Cost(*(statistics.median(values) for values in zip(*ours, strict=True)))
        self.wall = statistics.median(mine.wall / other.wall for mine, other in zip(ours, plain, strict=True))
        self.cpu = statistics.median(mine.cpu / other.cpu for mine, other in zip(ours, plain, strict=True))


def measured(work: Callable[[], object]) -> Cost:
    began, used = time.perf_counter(), cpu()
    work()
    return Cost(time.perf_counter() - began, cpu() - used)


def cpu() -> float:
    """Seconds of this process and of all that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    sys.exit(main())
