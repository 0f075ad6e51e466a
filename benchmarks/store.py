"""What the store costs, over real Chroma: `python benchmarks/store.py [tests] [runs]`, a table in Markdown.

`--kills N` instead kills the worker N times while it takes runs in, at random moments and as it begins to
write its index to the disk, and checks that every run is there afterwards, that the index repaired
itself, and that it says what a fresh one says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import get_args

from pytest_recall.answers import history
from pytest_recall.answers.views import View
from pytest_recall.app import App
from pytest_recall.model import (
    Attempt,
    Environment,
    Failure,
    Fingerprint,
    Finished,
    Frame,
    Outcome,
    Revision,
    Run,
    RunFiles,
    RunRequest,
    Status,
    Target,
    Test,
    TestHistory,
)
from pytest_recall.store import line
from pytest_recall.store.backend import Embedded
from pytest_recall.store.client import Store
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal


class Suite:
    """An imagined suite: one test in fifty is flaky, the others fail once in five thousand runs."""

    def __init__(self, count: int, seed: int = 1, *, workers: int = 0) -> None:
        self.random = random.Random(seed)
        self.ids = [
            f"tests/unit/pkg{i % 40}/test_mod{i // 25}.py::TestClass{i % 7}::test_behaviour_{i}[param{i % 3}]"
            for i in range(count)
        ]
        self.usual = [abs(self.random.gauss(0.02, 0.03)) for _ in self.ids]
        self.flaky = {
            i: self.random.random() * 0.3 for i in self.random.sample(range(count), max(1, count // 50))
        }
        self.workers = workers
        self.now = 1.7e9
        self.made = 0

    def run(self) -> Run:
        self.made += 1
        self.now += self.random.expovariate(1 / 300)
        order = list(range(len(self.ids)))
        if self.workers:
            order.sort(key=lambda at: at + self.random.random() * 200)
        tests = tuple(self._test(at, place) for place, at in enumerate(order))
        failed = any(test.outcome is Outcome.FAILED for test in tests)
        return Run(
            id=new_id(lambda: self.now),
            started_at=self.now,
            duration_s=sum(self.usual),
            target=Target(root="/p", python="/p/.venv/bin/python", source=".venv"),
            rootdir="/p",
            request=RunRequest(intent="make the cart add up"),
            status=Status.FAILED if failed else Status.PASSED,
            terminations=(Finished(exit_code=int(failed)),),
            revision=Revision(digest=sha(self.made // 3)[:24], commit=sha(-self.made // 9), dirty=True),
            environment=Environment(os="linux", python="3.12.1", pytest="9.0.1", workers=self.workers),
            collected=len(tests),
            tests=tests,
        )

    def _test(self, at: int, place: int) -> Test:
        rand = self.random.random
        failing = rand() < self.flaky.get(at, 0.0002)
        attempt = Attempt(
            outcome=Outcome.FAILED if failing else Outcome.PASSED,
            setup_s=0.0002 + rand() / 5000,
            call_s=self.usual[at] * (1 + 0.2 * rand()),
            teardown_s=0.0001 + rand() / 10000,
            worker=f"gw{int(rand() * self.workers)}" if self.workers else "",
            order=place,
            failures=(self._failure(at),) if failing else (),
        )
        return Test(id=self.ids[at], attempts=(attempt,))

    def _failure(self, at: int) -> Failure:
        kind = (at * 7 + self.made // 20) % 300
        group = f"fp1:{kind:012x}"
        frames = tuple(
            Frame(
                path=f"src/shop/mod{kind % 13}.py",
                line=at,
                function="handle",
                source=f"value = f{kind}(x)",
                project=True,
            )
            for _ in range(4)
        )
        return Failure(
            phase="call",
            exception="ValueError",
            message=f"kind {kind}: value mismatch in module {kind % 13} while handling request",
            fingerprint=Fingerprint(group=group, strict=f"fp1:{at:012x}", loose=group),
            frames=frames,
            text="E   ValueError: value mismatch\n" * 20,
        )


def sha(number: int) -> str:
    """40 hex digits that pack no better than real ones."""
    return hashlib.sha1(str(number).encode(), usedforsecurity=False).hexdigest()


def used(pid: int) -> float:
    """Seconds of CPU that another process has used; 0 where nobody tells."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


async def timed(ask: Callable[[], Awaitable[object]], times: int = 9) -> tuple[float, float]:
    """Seconds of the first call, and the median of the others."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        await ask()
        spent.append(time.perf_counter() - start)
    return spent[0], statistics.median(spent[1:])


def cold(folder: Path, view: str, subject: str) -> tuple[float, float]:
    """Seconds of a command from its start to its end, on the clock and of CPU, with its worker's."""
    environ = {**os.environ, "PYTEST_RECALL_STORE_FOLDER": str(folder)}
    command = [sys.executable, "-m", "pytest_recall", "history", view, *filter(None, [subject]), "--json"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    burnt = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - start, burnt


async def measure(tests: int, runs: int, folder: Path, workers: int) -> None:
    suite = Suite(tests, workers=workers)
    journal: list[float] = []
    burnt: list[float] = []
    taken: list[float] = []
    print(f"\n## {tests:,} tests x {runs:,} runs{f', {workers} workers' if workers else ''}\n")
    print("| what | first | median | worst |\n| --- | --- | --- | --- |")
    async with Store(Journal(folder), Embedded(folder=str(folder)), deadline_s=60) as store:
        await store.status()  # the worker is warm
        process = store._line._process  # noqa: SLF001
        began = used(process.pid)
        for _ in range(runs):
            run = suite.run()
            start, burning = time.perf_counter(), time.process_time()
            store.journal.write(run, RunFiles(output=b"." * 4000))
            journal.append(time.perf_counter() - start)
            burnt.append(time.process_time() - burning)
            start = time.perf_counter()
            await store.feed()
            taken.append(time.perf_counter() - start)
        for name, spent in (("journal, a run", journal), ("its CPU", burnt), ("take-in, a run", taken)):
            print(f"| {name} | {spent[0]:.4f} s | {statistics.median(spent):.4f} s | {max(spent):.4f} s |")
        print(f"| its CPU, in the worker | | {(used(process.pid) - began) / runs:.4f} s on average | |")
        flaky = suite.ids[next(iter(suite.flaky))]
        steady = suite.ids[next(at for at in range(tests) if at not in suite.flaky)]
        asks: dict[str, Callable[[], Awaitable[object]]] = {
            "runs (20)": lambda: store.runs(limit=20),
            "run": lambda: store.run(run.id),
            "tests (all interesting)": store.tests,
            "tests (one flaky)": lambda: store.tests([flaky]),
            "tests (one that never failed)": lambda: store.tests([steady]),
            "failures": store.failures,
            "similar": lambda: store.similar("ValueError kind 7: value mismatch in module 7"),
            "status": store.status,
        }
        for name, ask in asks.items():
            first, median = await timed(ask)
            print(f"| {name} | {first:.4f} s | {median:.4f} s | |")
        status = await store.status()
        known = await store.tests()
        print(
            f"\n{status.counts}; {sum(len(h.samples) for h in known.values()):,} samples of {len(known):,} tests. "
        )
        start = time.perf_counter()
        await store.verify()
        verified = time.perf_counter() - start
        start = time.perf_counter()
        await store.rebuild()
        print(f"Looking closely {verified:.2f} s, rebuilding {time.perf_counter() - start:.1f} s. ")
        print(f"Journal {status.journal_bytes / 1e6:.1f} MB, index {status.index_bytes / 1e6:.1f} MB. ")
    subjects = {"test": flaky, "similar": "ValueError kind 7: value mismatch in module 7"}
    print("\n| a warm server's view | first | median |\n| --- | --- | --- |")
    environ = {**os.environ, "PYTEST_RECALL_STORE_FOLDER": str(folder)}
    async with App(flags={}, environ=environ, default=folder) as app:
        for view in get_args(View):
            about = {"test": "test", "similar": "text"}.get(view)
            query = history.Query(view=view, **({about: subjects[view]} if about else {}))
            first, median = await timed(lambda query=query: history.ask(app, "", query))
            print(f"| `{view}` | {first:.3f} s | {median:.3f} s |")
    print("\n| a cold command | on the clock | CPU |\n| --- | --- | --- |")
    for view in get_args(View):
        clock, cpu = cold(folder, view, subjects.get(view, ""))
        print(f"| `history {view}` | {clock:.2f} s | {cpu:.2f} s |")


def outcomes(history: TestHistory) -> list[tuple[str, Outcome]]:
    return [(sample.run, sample.outcome) for sample in history.samples]


# The index is written to disk after every fourth record here, not every thousandth: more moments to die in.
EAGER = """
import sys; sys.path.append(sys.argv[1])
import chromadb.api.client as client
made = client.Client.get_or_create_collection
def eager(self, name, **options):
    hnsw = {**(options.pop("configuration", None) or {}).get("hnsw", {}), "sync_threshold": 4, "batch_size": 2}
    return made(self, name, configuration={"hnsw": hnsw}, **options)
client.Client.get_or_create_collection = eager
from pytest_recall.store.worker import main; main()
"""


def strike(process: subprocess.Popen[bytes], index: Path, dice: random.Random, *, worst: bool) -> None:
    """Kill the worker at a random moment, or just as it begins to write its index to the disk."""

    def stamps() -> list[int]:
        return [path.stat().st_mtime_ns for path in sorted(index.glob("*/*.*"))]

    if worst:
        with contextlib.suppress(FileNotFoundError):
            before, until = stamps(), time.monotonic() + 10
            while stamps() == before and time.monotonic() < until:
                pass
        time.sleep(dice.choice([0, 0, 0.0005, 0.001, 0.005]))
    else:
        time.sleep(dice.random() * 0.15)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


async def kill(rounds: int, folder: Path) -> None:
    """Every run must survive, and the index must end up saying what one made anew says."""
    line._BOOT = EAGER  # noqa: SLF001
    suite = Suite(400)
    kept: list[str] = []
    rebuilt = 0
    old = folder / "chroma.old"
    async with Store(Journal(folder), Embedded(folder=str(folder)), deadline_s=60) as store:
        for number in range(rounds):
            await store.status()
            process = store._line._process  # noqa: SLF001
            before = old.stat().st_mtime_ns if old.exists() else 0
            blow = asyncio.create_task(
                asyncio.to_thread(strike, process, folder / "chroma", suite.random, worst=number % 2 == 0)
            )
            for _ in range(3):
                run = suite.run()
                kept.append(run.id)
                store.keep(run)
            await blow
            while store.behind:
                await store.feed()
            rebuilt += (old.stat().st_mtime_ns if old.exists() else 0) != before
            if number % 20 == 19:
                print(f"{number + 1} kills, {rebuilt} rebuilds, {len(kept)} runs", flush=True)
        rows = [row.id for row in await store.runs(limit=100_000)]
        assert rows == sorted(kept, reverse=True), (len(rows), len(kept))
        assert (await store.status()).counts["runs"] == len(kept)
        await store.verify()
        survived = await store.tests(), {f.fingerprint: f.count for f in await store.failures(limit=10_000)}
        await store.rebuild()
        anew = await store.tests(), {f.fingerprint: f.count for f in await store.failures(limit=10_000)}
    assert survived[0].keys() == anew[0].keys()
    different = [name for name in anew[0] if outcomes(anew[0][name]) != outcomes(survived[0][name])]
    counts = [name for name in anew[1] if anew[1][name] != survived[1].get(name)]
    print(f"{rounds} kills: all {len(kept)} runs there, {rebuilt} rebuilds; {len(anew[0])} tests, ", end="")
    print(f"{len(different)} histories and {len(counts)} failure counts differ from an index made anew")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("tests", nargs="?", type=int, default=5000)
    options.add_argument("runs", nargs="?", type=int, default=100)
    options.add_argument("--workers", type=int, default=0)
    options.add_argument("--kills", type=int, default=0)
    asked = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="recall-bench-"))
    try:
        if asked.kills:
            asyncio.run(kill(asked.kills, folder / "store"))
        else:
            asyncio.run(measure(asked.tests, asked.runs, folder / "store", asked.workers))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
