"""A disk that is full or may not be written, a torn database or index, a clock that goes back, a version from later."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

import pytest_recall
from pytest_recall import app
from pytest_recall.errors import StoreUnavailable
from pytest_recall.store import line
from pytest_recall.store.backend import Embedded, Http
from pytest_recall.store.client import Store
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal

pytestmark = pytest.mark.anyio

RECORDED = Path(__file__).parents[1] / "recorded"
SUITE = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def suite():
    """Runs of the imagined suite that benchmarks use."""
    sys.path.insert(0, str(SUITE))
    try:
        import store
    finally:
        sys.path.remove(str(SUITE))
    return store.Suite(60)


def opened(folder: Path) -> Store:
    return Store(Journal(folder), Embedded(folder=str(folder)), deadline_s=60.0)


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store import Suite
from pytest_recall.errors import StoreUnavailable
from pytest_recall.store.journal import Journal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal, suite = Journal(Path(sys.argv[1])), Suite(60)
journal.write(suite.run())
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    journal.write(suite.run())
except StoreUnavailable as error:
    print(error)
"""


def test_full_disk_is_told_and_leaves_nothing_half_written(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(SUITE)], capture_output=True, text=True, check=True
    )
    assert "cannot be kept" in told.stdout
    assert "leave it some space" in told.stdout
    assert len(Journal(tmp_path).paths()) == 1
    assert [path.name for path in (tmp_path / "inbox").iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_may_not_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnavailable, match="Make it writable"):
        Journal(tmp_path / "store")


async def test_full_disk_of_the_index_costs_no_run_and_is_made_good(tmp_path, suite, monkeypatch):
    async with opened(tmp_path) as store:
        store.keep(suite.run())
        await store.feed()
        # The worker's own limit stands for the disk's: no file may grow beyond what the index has now.
        await store.status()
        process = store._line._process
        largest = max(path.stat().st_size for path in (tmp_path / "chroma").rglob("*") if path.is_file())
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, largest))
        for _ in range(30):
            store.keep(suite.run())
        await store.feed()
        assert len(await store.runs(limit=100)) == 31
    async with opened(tmp_path) as store:
        while store.behind:
            await store.feed()
        assert (await store.status()).counts["runs"] == 31
        await store.verify()


@pytest.mark.parametrize("part", ["*/data_level0.bin", "*/header.bin", "*/link_lists.bin", "chroma.sqlite3"])
async def test_torn_file_of_the_index_is_noticed_by_a_close_look_and_made_good(tmp_path, suite, part):
    async with opened(tmp_path) as store:
        for _ in range(8):
            store.keep(suite.run())
        await store.feed()
    for path in (tmp_path / "chroma").glob(part):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    manifest = tmp_path / "chroma" / "recall.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"state": "dirty"}))
    async with opened(tmp_path) as store:
        assert len(await store.runs(limit=100)) == 8
        while not (await store.status()).counts:  # it is rebuilt behind the questions
            await store.feed()
        assert (await store.status()).counts["runs"] == 8
        await store.verify()


async def test_server_that_accepts_and_never_answers_does_not_hold_who_hands_on(tmp_path, suite, monkeypatch):
    monkeypatch.setattr(app, "_HAND_ON_S", 0.5)
    monkeypatch.setattr(line, "_GRACE_S", 0.1)
    Journal(tmp_path / ".pytest-recall").write(suite.run())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {"PYTEST_RECALL_STORE": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        began = time.monotonic()
        async with app.App(flags={}, environ=environ, default=tmp_path) as here:
            assert "1 run(s) are kept on this machine and not on the server yet" in await here.hand_on("")
        assert time.monotonic() - began < 20


async def test_start_of_the_worker_is_no_part_of_what_a_shared_index_may_take(tmp_path, monkeypatch):
    monkeypatch.setattr(line, "_BOOT", "import time; time.sleep(1); " + line._BOOT)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    async with Store(Journal(tmp_path), Http(url=f"http://127.0.0.1:{port}"), deadline_s=1.0) as store:
        await store.tests()
        assert "The Chroma server did not answer as it should" in store.troubles[0]


async def test_clock_that_goes_back_mixes_up_no_runs(tmp_path, suite):
    now = 2_000_000_000.0
    first = new_id(lambda: now)
    assert first < new_id(lambda: now - 3_600) < new_id(lambda: now - 7_200)
    async with opened(tmp_path) as store:
        ids = []
        for _ in range(3):
            suite.now -= 86_400
            run = suite.run()
            ids.append(run.id)
            store.keep(run)
        await store.feed()
        assert [row.id for row in await store.runs(limit=9)] == sorted(ids, reverse=True)
        assert (await store.status()).counts["runs"] == 3


async def test_index_of_a_later_version_is_left_alone_and_an_earlier_ones_is_made_anew(tmp_path, suite):
    manifest = tmp_path / "chroma" / "recall.json"
    async with opened(tmp_path) as store:
        store.keep(suite.run())
        await store.feed()
    made = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps(made | {"state": "looking"}))  # it was left while it was looked at
    async with opened(tmp_path) as store:
        told = await store.status()
        assert (told.counts.get("runs"), told.error) == (1, "")  # one command is enough to mend it
    manifest.write_text(json.dumps(made | {"schema": made["schema"] + 1}))
    before = sorted(path.name for path in (tmp_path / "chroma").iterdir())
    async with opened(tmp_path) as store:
        store.keep(suite.run())
        assert await store.feed() == 0
        assert "later version" in " ".join(store.troubles)
        assert len(await store.runs()) == 2
    assert sorted(path.name for path in (tmp_path / "chroma").iterdir()) == before
    manifest.write_text(json.dumps(made | {"schema": 0}))
    async with opened(tmp_path) as store:
        while store.behind:
            await store.feed()
        assert (await store.status()).counts["runs"] == 2


async def test_store_of_an_earlier_version_gives_all_that_it_had(tmp_path, suite):
    # Written by the version before rows of tests had calendars: nine runs, of which the journal has forgotten five.
    with tarfile.open(RECORDED / "store-1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    told = json.loads((tmp_path / "told.json").read_bytes())
    new = suite.run()
    async with opened(tmp_path) as store:
        store.keep(new)
        while store.behind:
            await store.feed()
        assert [row.id for row in await store.runs(limit=99)] == sorted([*told["runs"], new.id], reverse=True)
        tests = await store.tests()
        assert {
            name: [[s.run, s.outcome.value, s.revision, s.group] for s in tests[name].samples]
            for name in told["tests"]
        } == told["tests"]
        assert {one.fingerprint: one.count for one in await store.failures(limit=999)}.items() >= told[
            "causes"
        ].items()
        assert len((await store.run(told["runs"][0])).tests) == 210
        assert (await store.status()).versions["schema"] == "2"


async def test_worker_of_another_version_than_ours_is_told_apart(tmp_path, suite, monkeypatch):
    # As after an update under a server that goes on: the worker that it starts next is the new one's.
    monkeypatch.setattr(pytest_recall, "__version__", "0.0.1")
    async with opened(tmp_path) as store:
        store.keep(suite.run())
        assert await store.feed() == 0
        assert "start it again" in " ".join(store.troubles)
        assert len(await store.runs()) == 1
    monkeypatch.undo()
    async with opened(tmp_path) as store:
        assert await store.feed() == 1


def test_processes_killed_at_random_and_at_the_worst_moments_lose_nothing():
    done = subprocess.run(
        [sys.executable, str(SUITE / "kills_store.py"), "6", "--processes", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every run is there" in done.stdout
