"""The store over real Chroma, embedded and served: what is kept, what is found again, and by whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

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
)
from pytest_recall.model import Test as Ran
from pytest_recall.store import client, glance, recent
from pytest_recall.store.backend import Embedded, Http
from pytest_recall.store.client import Store
from pytest_recall.store.glance import Glance
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal

PATIENT_S = 60.0  # a busy machine may be slow; what is tested is not its speed


def failure(number: int = 1) -> Failure:
    digest = f"fp1:{number:012x}"
    frame = Frame(path="shop/cart.py", line=7, source=f"total = price_{number}[item]", project=True)
    return Failure(
        phase="call",
        exception="KeyError",
        message=f"'item {number}'",
        fingerprint=Fingerprint(group=digest, strict=digest, loose=digest),
        frames=(frame,),
        text="E  KeyError",
    )


def run(*failing: int, tests: int = 5, revision: str = "r1", run_id: str = "", **fields: object) -> Run:
    """A finished run of *tests* tests; those with these numbers failed, each for a reason of its own."""
    attempts = [
        Attempt(outcome=Outcome.FAILED, order=n, call_s=0.5, failures=(failure(n),))
        if n in failing
        else Attempt(outcome=Outcome.PASSED, order=n, call_s=0.25)
        for n in range(tests)
    ]
    found = Run(
        id=run_id or new_id(time.time),
        started_at=time.time(),
        duration_s=1.0,
        target=Target(root="/p", python="/p/.venv/bin/python", source=".venv"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED if failing else Status.PASSED,
        terminations=(Finished(exit_code=1 if failing else 0),),
        revision=Revision(digest=revision),
        environment=Environment(os="linux"),
        collected=tests,
        tests=tuple(Ran(id=f"test_a.py::test_{n}", attempts=(one,)) for n, one in enumerate(attempts)),
    )
    return replace(found, **fields)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real `chroma run`; its address."""
    folder = tmp_path_factory.mktemp("served")
    for _ in range(3):  # it takes no port 0, and another one may be faster
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = ["chroma", "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
        command[0] = str(Path(sys.executable).with_name("chroma"))
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                if answers(process, port):
                    yield f"http://127.0.0.1:{port}"
                    return
            finally:
                process.kill()
    pytest.fail("chroma run did not start")


def answers(process, port):
    until = time.monotonic() + PATIENT_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    return False


@pytest.fixture(params=["embedded", "http"])
def backend(request, tmp_path):
    """Where the index of this test lives."""
    if request.param == "embedded":
        return Embedded(folder=str(tmp_path / "s"))
    # A project of its own on the one server: no test sees the runs of another.
    return Http(url=request.getfixturevalue("server"), project=f"project {new_id(time.time)}")


@contextlib.asynccontextmanager
async def opened(folder, backend=None):
    backend = backend or Embedded(folder=str(folder))
    async with Store(Journal(folder), backend, deadline_s=PATIENT_S) as store:
        yield store


async def drained(store: Store) -> None:
    while store.behind:
        await store.feed()
        assert not store.troubles


def test_kept_run_is_found_again_by_another_process(tmp_path):
    kept = run(2)

    async def keep():
        async with opened(tmp_path / "s") as store:
            store.keep(kept, RunFiles(output=b"out", report=b"{}"))
            await drained(store)

    asyncio.run(keep())
    script = """
import asyncio, sys
from pathlib import Path
from pytest_recall.store.backend import Embedded
from pytest_recall.store.client import Store
from pytest_recall.store.glance import Glance
from pytest_recall.store.journal import Journal

async def tell(store):
    run, tests, failures = await store.run(sys.argv[2]), await store.tests(), await store.failures()
    print(run.id, sorted(tests), [failure.exception for failure in failures])

async def main():
    folder = Path(sys.argv[1])
    async with Store(Journal(folder), Embedded(folder=sys.argv[1]), deadline_s=60) as store:
        await tell(store)
        print(store._line.awake, (await store.status()).counts["runs"])
        await tell(store)
        print(sys.modules.keys() & {"chromadb", "numpy"})

asyncio.run(main())
"""
    asked = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s"), kept.id],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = f"{kept.id} ['test_a.py::test_2'] ['KeyError']"
    # The journal tells it as well as the index: nobody waits for a worker to start.
    assert asked.stdout.splitlines() == [told, "False 1", told, "set()"], asked.stderr


def test_run_is_seen_before_it_is_taken_in(tmp_path, backend):
    async def story():
        folder = tmp_path / "s"
        async with opened(folder, backend) as store:
            store.keep(run(1))
            await drained(store)
            behind = Store(Journal(folder), backend)  # not entered: it feeds nothing
            last = run(1, 3)
            behind.keep(last)
            assert store.behind == 1
            assert (await store.runs())[0].id == last.id
            assert (await store.run(last.id)) == last
            tests = await store.tests()
            assert [len(tests[f"test_a.py::test_{n}"].samples) for n in (1, 3)] == [2, 2]
            assert {f.fingerprint: f.count for f in await store.failures()} == {
                "fp1:000000000001": 2,
                "fp1:000000000003": 1,
            }

    asyncio.run(story())


def test_test_that_starts_to_fail_brings_its_earlier_passes(tmp_path, backend):
    async def story():
        async with opened(tmp_path / "s", backend) as store:
            for _ in range(7):
                store.keep(run())
            store.keep(run(4))
            await drained(store)
            history = (await store.tests())["test_a.py::test_4"]
            assert [sample.outcome for sample in history.samples] == [Outcome.PASSED] * 7 + [Outcome.FAILED]

    asyncio.run(story())


def test_long_run_that_ends_after_a_short_one_is_in_every_history(tmp_path):
    async def story():
        async with opened(tmp_path / "s") as store:
            late, *early = [run(n, n + 1, tests=30, started_at=1e9 + n) for n in range(0, 26, 2)]
            for one in early:  # one after the other: each writes some of the rows
                store.keep(one)
                await drained(store)
            known = await store.tests()
            store.keep(late)
            await drained(store)
            histories = (await store.tests()).values()
            assert len(histories) == len(known) + 2
            for history in histories:
                assert [sample.run for sample in history.samples] == [one.id for one in (late, *early)]

    asyncio.run(story())


def test_runs_that_are_too_large_to_have_at_hand_are_asked_of_the_index(tmp_path, monkeypatch):
    async def story():
        async with opened(tmp_path / "s") as store:
            for _ in range(4):
                store.keep(run(1))
            await drained(store)
        monkeypatch.setattr(recent, "_BYTES", 1)
        async with opened(tmp_path / "s") as store:
            assert len((await store.tests())["test_a.py::test_1"].samples) == 4
            assert not store.troubles

    asyncio.run(story())


def test_test_that_never_failed_is_answered_from_the_journal(tmp_path, backend):
    async def story():
        async with opened(tmp_path / "s", backend) as store:
            for _ in range(3):
                store.keep(run(1))
            await drained(store)
            found = await store.tests(["test_a.py::test_0", "no::such"])
            assert {name: len(history.samples) for name, history in found.items()} == {"test_a.py::test_0": 3}

    asyncio.run(story())


def test_taking_a_run_in_twice_changes_nothing(tmp_path, backend):
    async def story():
        folder = tmp_path / "s"
        async with opened(folder, backend) as store:
            kept = [run(1), run(1, 2)]
            for one in kept:
                store.keep(one)
            await drained(store)
            before = await store.tests(), await store.failures(), (await store.status()).counts
            for path in store.journal.settled():
                path.rename(store.journal.inbox / path.name)
            await drained(store)
            assert (await store.tests(), await store.failures(), (await store.status()).counts) == before

    asyncio.run(story())


@pytest.mark.parametrize("shape", ["missing", "torn database", "no manifest"])
def test_broken_index_is_rebuilt_by_itself(tmp_path, shape):
    folder = tmp_path / "s"

    async def fill():
        async with opened(folder) as store:
            for number in range(3):
                store.keep(run(number))
            await drained(store)

    async def look():
        async with opened(folder) as store:
            store.keep(run(4))
            await drained(store)
            status = await store.status()
            assert status.healthy
            assert status.counts["runs"] == 4
            assert set(await store.tests()) == {f"test_a.py::test_{n}" for n in (0, 1, 2, 4)}

    asyncio.run(fill())
    chroma = folder / "chroma"
    if shape == "missing":
        chroma.rename(folder / "elsewhere")
    elif shape == "torn database":
        database = chroma / "chroma.sqlite3"
        data = bytearray(database.read_bytes())
        data[len(data) // 3 : 2 * len(data) // 3] = bytes(len(data) // 3)
        database.write_bytes(data[: 2 * len(data) // 3])
    else:
        (chroma / "recall.json").unlink()
    asyncio.run(look())


def test_without_a_server_the_journal_answers_and_says_so(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        nobody = Http(url=f"http://127.0.0.1:{taken.getsockname()[1]}")

        async def story():
            async with opened(tmp_path / "s", nobody) as store:
                kept = run(1)
                store.keep(kept)
                assert set(await store.tests()) == {"test_a.py::test_1"}
                assert store.degraded
                assert "journal" in store.troubles[0]
                assert "behind by 1" in store.troubles[0]
                assert [row.id for row in await store.runs()] == [kept.id]
                assert [f.count for f in await store.failures()] == [1]

        asyncio.run(story())


def test_runs_kept_while_the_server_was_away_are_taken_in_when_it_is_back(tmp_path, server):
    project = f"away-{new_id(time.time)}"

    async def story():
        async with opened(tmp_path / "s", Http(url="http://127.0.0.1:9", project=project)) as store:
            for number in range(3):
                store.keep(run(number))
            await store.feed()
            assert store.behind == 3
        async with opened(tmp_path / "s", Http(url=server, project=project)) as store:
            assert await store.feed() == 3
            assert (await store.status()).counts["runs"] == 3

    asyncio.run(story())


def test_machines_that_share_a_server_see_each_others_runs(tmp_path, server):
    shared = Http(url=server, project=f"team-{new_id(time.time)}")

    async def story():
        async with opened(tmp_path / "a", shared) as laptop, opened(tmp_path / "b", shared) as ci:
            first, second = run(1), run(1, 2, tests=300, environment=Environment(os="linux", workers=2))
            laptop.keep(first)
            await drained(laptop)
            ci.keep(second)
            await drained(ci)
            for store in (laptop, ci):
                assert [row.id for row in await store.runs()] == [second.id, first.id]
                assert [run.id for run in (await store.run(first.id), await store.run(second.id))] == [
                    first.id,
                    second.id,
                ]
                tests = await store.tests()
                assert len(tests["test_a.py::test_1"].samples) == 2
                assert [f.count for f in await store.failures(fingerprints=["fp1:000000000001"])] == [2]
                assert (await store.similar("KeyError 'item 1' shop/cart.py"))[0][0].count == 2
            told = await laptop.run(second.id)
            assert [test.attempts[0].call_s for test in told.tests[:3]] == pytest.approx(
                [0.25, 0.5, 0.5], rel=0.01
            )

    asyncio.run(story())


def test_index_that_another_process_holds_leaves_the_answers_to_the_journal(tmp_path):
    async def story():
        folder = tmp_path / "s"
        async with opened(folder) as store:
            store.keep(run(1))
            await drained(store)
            with FileLock(folder / "chroma.lock"):
                kept = run(1)
                store.keep(kept)
                assert len((await store.tests())["test_a.py::test_1"].samples) == 2
                assert [row.id for row in await store.runs(limit=1)] == [kept.id]
            await drained(store)

    asyncio.run(story())


def asked(store):
    """All questions that need no Chroma, one at a time."""
    return (
        store.tests(),
        store.tests(["test_a.py::test_1", "test_a.py::test_4", "test_b.py::test_new"]),
        store.failures(),
        store.failures(fingerprints=["fp1:000000000003"]),
        store.runs(limit=10, status="passed"),
    )


def test_looking_back_starts_no_worker_however_many_runs_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "FAR", 1)  # the journal alone is not enough
    folder = tmp_path / "c# 100%41?"  # which is no address

    async def story():
        async with opened(folder) as store:
            for failing in ([1], [1, 3], [], [3], [1]):
                store.keep(run(*failing))
            await drained(store)
        async with opened(folder) as store:
            cold = [await question for question in asked(store)]
            same = [await question for question in asked(store)]
            assert not store._line.awake
            assert not store.troubles
            await store.status()
            assert store._line.ready
            assert [await question for question in asked(store)] == cold == same
            assert [len(one) for one in cold] == [2, 2, 2, 1, 1]
        assert not (folder / "chroma.old").exists()  # nor was anything made anew
        assert list(tmp_path.iterdir()) == [folder]

    asyncio.run(story())


def test_runs_that_wait_are_in_an_answer_without_a_worker_and_many_of_them_start_one(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "FAR", 1)
    monkeypatch.setattr(client, "_FEW", 3)

    async def story():
        async with opened(tmp_path / "s") as store:
            store.keep(run(1))
            store.keep(run(1))
            await drained(store)
        waiting = Store(Journal(tmp_path / "s"), Embedded(folder=str(tmp_path / "s")))  # it feeds nothing
        waiting.keep(run(2))
        async with opened(tmp_path / "s") as store:
            assert {f.fingerprint for f in await store.failures()} == {"fp1:000000000001", "fp1:000000000002"}
            assert {name[-1:] for name in await store.tests()} == {"1", "2"}
            assert not store._line.awake
        waiting.keep(run(3))
        waiting.keep(run(4))
        async with opened(tmp_path / "s") as store:
            assert {name[-1:] for name in await store.tests()} == {"1", "2", "3", "4"}
            assert store._feed.going
            await drained(store)

    asyncio.run(story())


def changed(**fields):
    def change(index):
        noted = json.loads((index / "recall.json").read_bytes())
        (index / "recall.json").write_text(json.dumps(noted | fields))

    return change


def executed(statement):
    def change(index):
        with contextlib.closing(sqlite3.connect(index / "chroma.sqlite3")) as database, database:
            assert database.execute(statement).rowcount > 0

    return change


def torn(index):
    with (index / "chroma.sqlite3").open("r+b") as file:
        for page in range(4, 40):
            file.seek(4096 * page)
            file.write(b"?" * 2048)


HARMS = {
    "a writer died": changed(state="dirty"),
    "an earlier version made it": changed(schema=1),
    "nothing is counted": changed(counts={}),
    "no counts": changed(counts=None),
    "no manifest": lambda index: (index / "recall.json").write_text("[]"),
    "a record is gone": executed(
        "delete from embeddings where id in (select id from embedding_metadata where key = 'exception' limit 1)"
    ),
    "a part of a record is gone": executed("delete from embedding_metadata where key = 'v0'"),
    "writes are in the queue": executed("update max_seq_id set seq_id = 0"),
    "another layout": executed("update segments set scope = 'OTHER'"),
    "torn": torn,
    "no database": lambda index: (index / "chroma.sqlite3").unlink(),
}


@pytest.mark.parametrize("harm", HARMS)
def test_index_that_is_not_whole_is_left_to_the_worker(whole_index, tmp_path, harm):
    shutil.copytree(whole_index, tmp_path / "s")
    glance = Glance(tmp_path / "s")
    assert len(glance.answer("failures", fingerprints=None)["rows"]) == 2
    HARMS[harm](tmp_path / "s" / "chroma")
    assert glance.answer("failures", fingerprints=None) is None


def test_index_that_is_in_use_is_left_to_the_worker(whole_index, tmp_path, monkeypatch):
    monkeypatch.setattr(glance, "_WAIT_S", 0.01)
    shutil.copytree(whole_index, tmp_path / "s")
    with FileLock(tmp_path / "s" / "chroma.lock"):
        assert Glance(tmp_path / "s").answer("tests", ids=None) is None
    assert Glance(tmp_path / "s").answer("tests", ids=None)["rows"]
    assert Glance(tmp_path / "s").answer("similar", text="x", limit=1) is None
    assert Glance(tmp_path / "none").answer("tests", ids=None) is None
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def whole_index(tmp_path_factory):
    """A store whose two causes of failure are in the index."""
    folder = tmp_path_factory.mktemp("whole") / "s"

    async def make():
        async with opened(folder) as store:
            store.keep(run(1, 2))
            await drained(store)

    asyncio.run(make())
    return folder
