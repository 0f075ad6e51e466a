"""The store under fire: killed workers, many processes at once, hung calls, full disks."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_recall.errors import StoreUnavailable
from pytest_recall.model import (
    Attempt,
    Environment,
    Failure,
    Fingerprint,
    Finished,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Status,
    Target,
)
from pytest_recall.model import Test as Ran
from pytest_recall.store import client, line
from pytest_recall.store.backend import Embedded
from pytest_recall.store.client import Store
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal

PATIENT_S = 60.0


def a_run(number: int) -> Run:
    """Thirty tests; one that depends on *number* failed."""
    digest = f"fp1:{number % 10:012x}"
    failure = Failure(
        phase="call",
        exception="ValueError",
        message=f"kind {number % 10}",
        fingerprint=Fingerprint(group=digest, strict=digest, loose=digest),
    )
    failing = number % 10
    return Run(
        id=new_id(time.time),
        started_at=time.time(),
        duration_s=1.0,
        target=Target(root="/p", python="/p/bin/python", source=".venv"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED,
        terminations=(Finished(exit_code=1),),
        revision=Revision(digest="r"),
        environment=Environment(os="linux"),
        collected=30,
        tests=tuple(
            Ran(
                id=f"t.py::test_{n}",
                attempts=(
                    Attempt(outcome=Outcome.FAILED, order=n, failures=(failure,))
                    if n == failing
                    else Attempt(outcome=Outcome.PASSED, order=n),
                ),
            )
            for n in range(30)
        ),
    )


def store_in(folder: Path, **options: float) -> Store:
    return Store(Journal(folder), Embedded(folder=str(folder)), **{"deadline_s": PATIENT_S, **options})


async def drained(store: Store) -> None:
    while store.behind:
        await store.feed()


async def worker_of(store: Store) -> subprocess.Popen[bytes]:
    for _ in range(20):  # the death of the one before is told once, where it was not noticed yet
        if (status := await store.status()).healthy:
            break
    assert status.healthy
    process = store._line._process
    assert process is not None
    return process


def test_runs_survive_a_worker_that_is_killed_at_any_moment(tmp_path):
    dice = random.Random(7)
    kept = []

    async def story():
        async with store_in(tmp_path / "s") as store:
            for _ in range(10):
                process = await worker_of(store)
                for _ in range(3):
                    kept.append(a_run(len(kept)))
                    store.keep(kept[-1])
                await asyncio.sleep(dice.random() * 0.1)  # the moment is the point, whichever it is
                os.kill(process.pid, signal.SIGKILL)
                await drained(store)
            await worker_of(store)  # the last death may not have been noticed either
            assert [row.id for row in await store.runs(limit=100)] == [run.id for run in reversed(kept)]
            assert (await store.verify())["runs"] == len(kept)
            tests = await store.tests()
            assert {name: len(h.samples) for name, h in tests.items()} == {
                f"t.py::test_{n}": len(kept) for n in range(10)
            }
            counts = {failure.fingerprint: failure.count for failure in await store.failures()}
            assert counts == {f"fp1:{n:012x}": 3 for n in range(10)}

    asyncio.run(story())


WRITER = """
import asyncio, importlib.util, sys
from dataclasses import replace
from pathlib import Path
spec = importlib.util.spec_from_file_location("hazards", sys.argv[1])
hazards = importlib.util.module_from_spec(spec)
sys.modules["hazards"] = hazards
spec.loader.exec_module(hazards)

async def main():
    async with hazards.store_in(Path(sys.argv[2])) as store:
        for number in range(8):
            run = hazards.a_run(number)
            store.keep(run)
            print(run.id, flush=True)
            await hazards.drained(store)
            assert run.id in [row.id for row in await store.runs(limit=100)]
            assert await store.tests()

asyncio.run(main())
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    folder = tmp_path / "s"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, __file__, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    told = [writer.communicate(timeout=300) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, told
    kept = {name for out, _ in told for name in out.decode().split()}

    async def look():
        async with store_in(folder) as store:
            await drained(store)
            assert {row.id for row in await store.runs(limit=100)} == kept
            assert (await store.verify())["runs"] == len(kept) == 32
            assert {len(h.samples) for h in (await store.tests()).values()} == {32}
            assert sum(failure.count for failure in await store.failures()) == 32
            assert not (folder / "chroma.old").exists(), "nothing was damaged"

    asyncio.run(look())


def test_worker_that_hangs_is_ended_and_the_next_question_is_answered(tmp_path, monkeypatch):
    async def story():
        async with store_in(tmp_path / "s") as store:
            process = await worker_of(store)
            os.kill(process.pid, signal.SIGSTOP)
            question = store._line.call("status", limit_s=0.2)
            with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.2 s"):
                await asyncio.wrap_future(question)
            assert process.poll() is not None
            assert (await store.status()).healthy

    asyncio.run(story())


def test_reader_does_not_wait_for_a_hung_worker(tmp_path):
    async def story():
        async with store_in(tmp_path / "s", deadline_s=0.5) as store:
            while not (await store.status()).healthy:
                pass
            kept = a_run(3)
            os.kill((store._line._process).pid, signal.SIGSTOP)
            store.keep(kept)
            start = time.monotonic()
            assert set(await store.tests()) == {"t.py::test_3"}
            assert [row.id for row in await store.runs()] == [kept.id]
            assert time.monotonic() - start < PATIENT_S / 4
            os.kill((store._line._process).pid, signal.SIGKILL)
            await drained(store)

    asyncio.run(story())


def test_few_runs_that_nobody_asks_about_start_no_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(line, "_CALM_S", PATIENT_S)
    log = tmp_path / "worker.log"  # of whatever worker was started

    async def story():
        Journal(tmp_path).write(a_run(3))
        async with store_in(tmp_path) as store:
            assert set(await store.tests()) == {"t.py::test_3"}
        assert not log.exists()
        async with store_in(tmp_path) as store:
            [(found, _)] = await store.similar("ValueError: kind 3")  # which is asked of the index
            assert (found.message, store.behind) == ("kind 3", 0)
        log.unlink()
        for number in range(client._FEW):
            Journal(tmp_path).write(a_run(number))
        async with store_in(tmp_path) as store:
            await store.tests()
        assert log.exists()

    asyncio.run(story())


def test_whoever_made_a_run_does_not_leave_before_chroma_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(line, "_CALM_S", PATIENT_S)
    monkeypatch.setattr(line, "_GRACE_S", PATIENT_S)

    async def story():
        async with store_in(tmp_path) as store:
            store.keep(a_run(3))
        assert store.journal.pending() == []

    asyncio.run(story())


def test_worker_that_is_still_starting_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(line, "_CALM_S", 0.0)
    monkeypatch.setattr(line, "_GRACE_S", PATIENT_S)
    monkeypatch.setattr(line, "_BOOT", "import time; time.sleep(600)")

    async def story():
        Journal(tmp_path).write(a_run(3))
        async with store_in(tmp_path) as store:
            store._feed.later()
            while not store._line.awake:
                pass
            process, left = store._line._process, time.monotonic()
        assert process.poll() is not None
        assert time.monotonic() - left < PATIENT_S / 2
        assert len(store.journal.pending()) == 1

    asyncio.run(story())


def test_worker_that_dies_at_every_look_gets_a_new_index(tmp_path):
    folder = tmp_path / "s"

    async def story():
        async with store_in(folder) as store:
            store.keep(a_run(1))
            await drained(store)
        manifest = folder / "chroma" / "recall.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"state": "looking"}))
        async with store_in(folder) as store:
            store.keep(a_run(2))
            await drained(store)
            assert (await store.status()).counts["runs"] == 2
        assert (folder / "chroma.old").exists()

    asyncio.run(story())


def test_worker_sees_nothing_of_our_environment_and_leaves_with_us(tmp_path, monkeypatch):
    # Each of these crashes or changes Chroma when it is seen.
    monkeypatch.setenv("MIGRATIONS", "true")
    monkeypatch.setenv("CHROMA_SERVER_HOST", "nowhere.invalid")
    (tmp_path / ".env").write_bytes(b"MIGRATIONS=\xe9")
    monkeypatch.chdir(tmp_path)

    async def story():
        async with store_in(tmp_path / "s") as store:
            process = await worker_of(store)
            names = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            assert {name.partition(b"=")[0] for name in names if name} <= {
                name.encode() for name in (*line._KEPT, *line._PROXIES, *line._OURS)
            }
            assert Path(f"/proc/{process.pid}/cwd").readlink() == tmp_path / "s"
        assert process.poll() == 0

    asyncio.run(story())


def test_worker_leaves_when_its_parent_is_killed(tmp_path):
    script = """
import asyncio, importlib.util, sys
from dataclasses import replace
from pathlib import Path
spec = importlib.util.spec_from_file_location("hazards", sys.argv[1])
hazards = importlib.util.module_from_spec(spec)
sys.modules["hazards"] = hazards
spec.loader.exec_module(hazards)

async def main():
    async with hazards.store_in(Path(sys.argv[2])) as store:
        print((await hazards.worker_of(store)).pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
    command = [sys.executable, "-c", script, __file__, str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + PATIENT_S
    while alive(pid):
        assert time.monotonic() < until


def alive(pid: int) -> bool:
    """Whether *pid* runs; a dead one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_rebuilt_index_keeps_what_the_journal_has_forgotten(tmp_path):
    folder = tmp_path / "s"

    async def story():
        forgotten, kept = [a_run(n) for n in (1, 2, 1)], [a_run(n) for n in (1, 3)]
        async with store_in(folder) as store:
            for run in (*forgotten, *kept):
                store.keep(run)
            await drained(store)
            assert await store.prune(count=len(kept), age_s=1e9, size_bytes=1 << 30) == len(forgotten)
            before = {f.fingerprint: f.count for f in await store.failures()}
        (index,) = [path for path in (folder / "chroma").iterdir() if path.is_dir()][:1]
        for path in index.iterdir():
            path.write_bytes(b"torn")
        async with store_in(folder) as store:
            assert await store.rebuild() == len(kept)
            newest = [run.id for run in reversed(forgotten + kept)]
            assert [row.id for row in await store.runs()] == newest
            old = await store.run(forgotten[0].id)
            assert [test.outcome for test in old.tests] == [test.outcome for test in forgotten[0].tests]
            tests = await store.tests()
            assert {name: len(tests[name].samples) for name in sorted(tests)} == {
                "t.py::test_1": 5,
                "t.py::test_2": 5,
                "t.py::test_3": 5,
            }
            assert {f.fingerprint: f.count for f in await store.failures()} == before
            assert (await store.similar("ValueError kind 2"))[0][0].fingerprint == "fp1:000000000002"

    asyncio.run(story())


def test_awkward_run_is_taken_in_among_the_others(tmp_path):
    async def story():
        long = "t.py::test[" + "ü\udc80" * 30_000 + "]"
        odd = a_run(1)
        failing = odd.tests[1].attempts[0]
        cause = replace(
            failing.failures[0],
            message="\udc80" * 5_000,
            fingerprint=Fingerprint(group="\ud800 x" * 99, strict="", loose=""),
        )
        tests = tuple(
            Ran(id=f"{n}{long}", attempts=(replace(failing, failures=(cause,)),)) for n in range(50)
        )
        odd = replace(odd, tests=tests, request=RunRequest(intent=random.Random(1).randbytes(300_000).hex()))
        async with store_in(tmp_path / "s") as store:
            for run in (a_run(1), odd, a_run(1)):
                store.keep(run)
            while store.behind:
                await store.feed()
            assert (await store.runs())[-1].id == odd.id
            assert (await store.status()).counts["runs"] == 3
            assert len((await store.run(odd.id)).tests) == 50

    asyncio.run(story())


def test_run_of_a_later_version_waits_for_it(tmp_path):
    folder = tmp_path / "s"
    journal = Journal(folder)
    later, ours = journal.write(a_run(1)), a_run(2)
    with zipfile.ZipFile(later) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(later, "w") as archive:
        for name, data in members.items():
            archive.writestr(
                name, data.replace(b'"format":1', b'"format":99') if name == "run.json" else data
            )

    async def story():
        async with store_in(folder) as store:
            store.keep(ours)
            await store.feed()
            await store.feed()
            assert store.journal.pending() == [later]
            assert (await store.status()).counts["runs"] == 1
            assert set(await store.tests()) == {"t.py::test_2"}
            (told,) = store.troubles
            assert told.startswith("1 run(s) were written by a later version of pytest-recall")
            assert later.stem in told
            assert list(store.journal.later()) == [later.name]
            assert (await store.verify())["files"] == 2  # nothing is wrong with it

    asyncio.run(story())
