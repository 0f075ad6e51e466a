"""Many processes on one store while somebody kills them: `python benchmarks/kills_store.py [kills] [--processes 8]`.

Each process keeps runs and asks questions, over and over. Now one of their workers, now a whole process is killed
by SIGKILL: at a random moment, or just as Chroma begins to write its index to the disk. A run is acknowledged when
`keep` has returned, and its id then stands in a file that was synced. In the end: every acknowledged run is there,
the index has repaired itself, and says what an index made anew says. Ends with 1 where it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from store import EAGER, Suite, outcomes  # the benchmark beside this one

from pytest_recall.store import line
from pytest_recall.store.backend import Embedded
from pytest_recall.store.client import Store
from pytest_recall.store.journal import Journal

TESTS = 60
WRITER = "--writer"
WRONG = 7  # exit code of a writer that was told something wrong


async def write(folder: Path, acknowledged: Path, number: int) -> None:
    """Keep runs and look back until somebody ends this process; what is answered must be so."""
    line._BOOT = EAGER  # noqa: SLF001 - more moments to die in
    suite = Suite(TESTS, seed=number)
    # Its clock runs five minutes a run, and a run that is a day ahead would be left out.
    suite.now = time.time() - 30 * 86_400
    own: set[str] = set()
    with acknowledged.open("a") as file:
        async with Store(Journal(folder), Embedded(folder=str(folder)), deadline_s=5) as store:
            while True:
                run = suite.run()
                store.keep(run)
                own.add(run.id)
                file.write(f"{run.id}\n")
                file.flush()
                os.fsync(file.fileno())
                known = {row.id for row in await store.runs(limit=100_000)}
                if lost := own - known:
                    # Without the index, the journal has all of them: there is no state in which one is missing.
                    print(f"WRONG {len(lost)} of {len(own)} runs missing: {store.troubles}", file=sys.stderr)
                    os._exit(WRONG)
                await asyncio.sleep(0.02)


def workers(process: int) -> list[int]:
    """The workers of *process*, whichever of its threads started them."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        with contextlib.suppress(OSError, ValueError):
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def stamps(index: Path) -> list[int]:
    found = []
    for path in sorted(index.glob("*/*.*")):
        with contextlib.suppress(OSError):
            found.append(path.stat().st_mtime_ns)
    return found


class Herd:
    """So many writers, each started anew when it has been killed."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.wrong = 0
        self._number = 0
        self._live = [self._started() for _ in range(count)]

    def _started(self) -> subprocess.Popen[bytes]:
        self._number += 1
        own = self.folder.parent / f"acknowledged.{self._number}"
        command = [sys.executable, __file__, WRITER, str(self.folder), str(own), str(self._number)]
        return subprocess.Popen(command, start_new_session=True)

    def strike(self, dice: random.Random, *, worst: bool) -> None:
        """Kill all workers as one writes its index, or one process with its worker; put others in their places."""
        if worst:
            self._wait_for_a_write()
            time.sleep(dice.choice([0, 0, 0.0005, 0.002]))
            victims = [worker for process in self._live for worker in workers(process.pid)]
        else:
            time.sleep(dice.random() * 0.6)
            victims = [dice.choice(self._live).pid]
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        for place, process in enumerate(self._live):
            if process.pid in victims:
                process.wait()
            if (code := process.poll()) is not None:
                self.wrong += code == WRONG
                self._live[place] = self._started()

    def _wait_for_a_write(self) -> None:
        index, until = self.folder / "chroma", time.monotonic() + 3
        before = stamps(index)
        while stamps(index) == before and time.monotonic() < until:
            time.sleep(0.0005)

    def end(self) -> None:
        for process in self._live:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            self.wrong += process.wait() == WRONG

    def acknowledged(self) -> Iterator[str]:
        for path in self.folder.parent.glob("acknowledged.*"):
            # A line that was cut short was not acknowledged.
            yield from (text for text in path.read_text().split("\n")[:-1])


async def look(folder: Path, kept: set[str]) -> list[str]:
    """What is wrong with the store in the end, in words."""
    wrong = []
    async with Store(Journal(folder), Embedded(folder=str(folder)), deadline_s=120) as store:
        until = time.monotonic() + 300
        while store.behind and time.monotonic() < until:
            await store.feed()
        rows = {row.id for row in await store.runs(limit=1_000_000)}
        if lost := kept - rows:
            wrong.append(f"{len(lost)} of {len(kept)} acknowledged runs are missing")
        status = await store.status()
        if status.counts.get("runs") != len(rows):
            wrong.append(f"the index has {status.counts.get('runs')} runs, the journal {len(rows)}")
        await store.verify()
        survived = await store.tests(), {f.fingerprint: f.count for f in await store.failures(limit=100_000)}
        await store.rebuild()
        anew = await store.tests(), {f.fingerprint: f.count for f in await store.failures(limit=100_000)}
    different = [
        t for t in anew[0] if t not in survived[0] or outcomes(anew[0][t]) != outcomes(survived[0][t])
    ]
    counts = [name for name in anew[1] if anew[1][name] != survived[1].get(name)]
    if different or counts:
        wrong.append(
            f"{len(different)} histories and {len(counts)} failure counts differ from an index made anew"
        )
    return wrong


def main() -> int:
    if sys.argv[1:2] == [WRITER]:
        asyncio.run(write(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before its end"))
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("kills", nargs="?", type=int, default=200)
    options.add_argument("--processes", type=int, default=8)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="recall-kills-")) / "store"
    dice, start = random.Random(asked.seed), time.monotonic()
    try:
        herd = Herd(folder, asked.processes)
        try:
            time.sleep(3)
            for number in range(asked.kills):
                herd.strike(dice, worst=number % 2 == 0)
        finally:
            herd.end()
        kept = set(herd.acknowledged())
        wrong = asyncio.run(look(folder, kept))
        rebuilt = (folder / "chroma.old").exists()
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)
    if herd.wrong:
        wrong.append(f"{herd.wrong} answers missed a run of their own process")
    print(
        f"{asked.kills} kills among {asked.processes} processes in {time.monotonic() - start:.0f} s: "
        f"{len(kept)} runs acknowledged, the index was {'rebuilt' if rebuilt else 'never rebuilt'}; "
        f"{'; '.join(wrong) or 'every run is there, no answer was wrong, the index says what one made anew says'}"
    )
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
