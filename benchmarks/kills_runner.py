"""Random kills: the server, the guard, the supervisor, pytest or an xdist worker, at any moment of a run.

python benchmarks/kills_runner.py --trials 100 [--seed 7] [--tally kills.json]

Each trial runs a small suite (a failing test, a daemon, tests that take a moment) on the real runner in a
server process of its own, kills one process of it by SIGKILL at a random moment, and checks that

  no process of the run is left · what had ended is told, by the answer or by `recover` afterwards ·
  nothing that did not finish is called passed, and no run that was cut short is `passed`.

The tally adds up over calls: run it in portions. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock

from pytest_recall.model import Run, Status
from pytest_recall.running import runner

VICTIMS = ("server", "guard", "supervisor", "pytest", "worker", "descendant")
NOBODY = "nobody"  # had been there to be killed when its moment came
MOMENTS = ("before the first test", "among the tests", "after the last test")
LIMIT_S = 60.0  # for a machine that is busy: a run takes two seconds, and none may come to its limit
GONE_S = 15.0
LIFE_S = 1.5  # about what a run takes
PASSING, FAILING = [f"test_{n}" for n in range(12)], "test_bad"
TWICE = (
    "import os, time\\nif os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\ntime.sleep(90)"
)
SUITE = f"""
import os, pathlib, subprocess, sys, time

def done(name):
    with open("finished", "a") as file:
        file.write(name + "\\n")

def test_daemon():
    subprocess.run([sys.executable, "-c", "{TWICE}"], env={{}}, check=True)

def test_bad():
    assert 0
""" + "".join(f"\ndef {name}():\n    time.sleep(0.03)\n    done({name!r})\n" for name in PASSING)
SERVER = """
import json, os, sys, anyio
from pathlib import Path
from pytest_recall.model import Revision, RunRequest
from pytest_recall.running import runner, target
from pytest_recall.store import shape

project, spool, kept, parallel = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])

async def keep(run, files):
    aside = kept.with_suffix(".new")
    aside.write_text(json.dumps(shape.dump(run)))
    aside.replace(kept)

async def main():
    environ = {**os.environ, "TMPDIR": str(project)}
    if not parallel:
        environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    found = target.resolve(project, explicit=sys.executable, environ=environ)
    await runner.run(RunRequest(timeout_s=float(sys.argv[5]), parallel=parallel), found, run_id="run", spool=spool,
        cache_dir=None, environ=environ, revision=Revision(digest="same"), space="agent", source="test", keep=keep)

anyio.run(main)
"""


def processes(mark: Path) -> Iterator[tuple[int, int, bytes]]:
    """(pid, parent, command line) of everything that works in *mark* or was told of it."""
    wanted = os.fsencode(mark)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes()
            if not ((process / "cwd").readlink().is_relative_to(mark) or wanted in command):
                continue
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            yield int(process.name), int(parent), command


def victim(kind: str, server: int, mark: Path) -> int | None:
    """The process that plays that part at this moment, if there is one."""
    if kind == "server":
        return server
    below = {pid: parent for pid, parent, _ in processes(mark)}
    chain = [server]
    while (child := next((pid for pid in sorted(below) if below[pid] == chain[-1]), None)) is not None:
        chain.append(child)
    place = {"guard": 1, "supervisor": 2, "pytest": 3, "worker": 4}.get(kind)
    if place is not None:
        return chain[place] if len(chain) > place else None
    others = [pid for pid in below if pid not in chain[:4]]
    return random.choice(others) if others else None


def finished(project: Path) -> list[str]:
    """The tests that passed for certain, by their own word."""
    try:
        return (project / "finished").read_text().split()
    except OSError:
        return []


def trial(folder: Path) -> tuple[str, str, str, list[str]]:
    """Whom we killed and when, what came of the run, and what was wrong with it."""
    project, spool, kept = folder / "project", folder / "spool", folder / "kept.json"
    project.mkdir(parents=True)
    (project / "test_a.py").write_text(SUITE)
    (project / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    (folder / "server.py").write_text(SERVER)
    kind = random.choice(VICTIMS)
    parallel = 2 if kind == "worker" or random.random() < 0.2 else 0
    words = [str(folder / "server.py"), str(project), str(spool), str(kept), str(parallel), str(LIMIT_S)]
    server = subprocess.Popen(
        [sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 2 * LIMIT_S
    struck, moment = NOBODY, "-"
    # By the clock, from when there is somebody to kill; or by how far the tests are, so that a slow machine, where
    # everything takes longer than the clock would have it, is not struck at its start only.
    some, pause = (0, LIFE_S) if random.random() < 0.5 else (random.randint(1, len(PASSING)), 0.05)
    while server.poll() is None and time.monotonic() < end:
        if victim(kind, server.pid, folder) is not None and len(finished(project)) >= some:
            time.sleep(random.uniform(0.0, pause))
            if (pid := victim(kind, server.pid, folder)) is not None:
                done = len(finished(project))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    struck, moment = kind, MOMENTS[(done > 0) + (done == len(PASSING))]
            break
        time.sleep(0.005)
    try:
        server.wait(max(end - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        server.kill()
        return struck, moment, "hung", ["the server did not come to its end"]
    return struck, moment, *judged(folder, project, spool, kept)


def judged(folder: Path, project: Path, spool: Path, kept: Path) -> tuple[str, list[str]]:
    wrong = []
    end = time.monotonic() + GONE_S
    while (left := [command for _, _, command in processes(folder)]) and time.monotonic() < end:
        time.sleep(0.02)
    if left:
        wrong.append(f"left behind: {left}")
    passed = set(finished(project))
    recovered = []
    for run, _, remove in runner.recover(spool):
        recovered.append(run)
        remove()
    if kept.exists():
        from pytest_recall.store import shape  # noqa: PLC0415 - not before it is needed

        told = shape.load(Run, json.loads(kept.read_text()))
        wrong += wrongs(told, passed)
        return told.status.value, wrong + (["told twice"] if recovered else [])
    if not recovered:
        # Killed before its folder was there: then nothing can have been run.
        return "never began", wrong + ([f"lost with {sorted(passed)} finished"] if passed else [])
    return f"recovered: {recovered[0].status.value}", wrong + wrongs(recovered[0], passed)


def wrongs(run: Run, passed: set[str]) -> list[str]:
    """What *run* says that is not so; *passed* did so for certain."""
    told = {test.id.partition("::")[2]: test.outcome.value for test in run.tests}
    found = []
    if run.status is Status.PASSED:
        found.append("passed, with a failing test in it")
    if run.status is Status.TIMED_OUT:
        found.append("hung: it came to its limit, and none of its tests takes long")
    if told.get(FAILING, "failed") not in {"failed", "crashed", "not_run"}:
        found.append(f"{FAILING} is {told[FAILING]}")
    lost = passed - {name for name, outcome in told.items() if outcome in {"passed", "crashed"}}
    # The last word of a test may have been cut off with its process: one for each process that runs tests.
    if len(lost) > 2:
        found.append(f"lost: {sorted(lost)}")
    invented = [name for name in PASSING if told.get(name) == "passed" and name not in passed]
    if invented:
        found.append(f"invented: {invented}")
    if run.status is Status.FAILED and len(told) + len(run.not_run) < len(PASSING) + 2:
        found.append("called whole, and is not")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after that")
    parser.add_argument("--at-once", type=int, default=3, help="trials side by side")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--tally", type=Path, help="a file that adds up over calls")
    options = parser.parse_args()
    random.seed(options.seed)
    tally = json.loads(options.tally.read_text()) if options.tally and options.tally.exists() else {}
    ways, moments = Counter(tally.get("ways", {})), Counter(tally.get("moments", {}))
    wrong, lock = tally.get("wrong", []), Lock()
    room = Path(tempfile.mkdtemp(prefix="kills-"))
    until = time.monotonic() + options.seconds

    def one(number: int) -> None:
        if time.monotonic() > until:
            return
        folder = room / str(number)
        struck, moment, came, bad = trial(folder)
        with lock:
            ways[f"{struck} → {came}"] += 1
            moments[f"{struck} {moment}"] += struck != NOBODY
            wrong.extend(f"{struck} → {came}: {text} ({folder})" for text in bad)
            if options.tally:
                told = {"ways": dict(ways), "moments": dict(moments), "wrong": wrong}
                options.tally.write_text(json.dumps(told, indent=1))
        if not bad:
            shutil.rmtree(folder, ignore_errors=True)

    with ThreadPoolExecutor(options.at_once) as pool:
        list(pool.map(one, range(options.trials)))
    if not wrong:
        shutil.rmtree(room, ignore_errors=True)
    for way, times in [*sorted(ways.items()), *sorted((+moments).items())]:
        print(f"{times:6}  {way}")
    print(f"{moments.total()} kills, {len(wrong)} wrongs")
    print(*wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
