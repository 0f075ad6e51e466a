"""A store that was hurt, of whose runs the journal has forgotten most: it says so, and gives back what can still be read."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
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
from pytest_recall.store import archive, ids
from pytest_recall.store.backend import Embedded
from pytest_recall.store.client import Store
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal

pytestmark = pytest.mark.anyio

RUNS, KEPT = 12, 4  # of them, in the journal
TEST, CAUSE = "t.py::test_flaky", "fp1:0123456789ab"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def a_run(number: int) -> Run:
    """Two tests; one of them fails in every third run."""
    prints = Fingerprint(group=CAUSE, strict="fp1:s", loose="fp1:l")
    failure = Failure(phase="call", exception="KeyError", message="'abc'", fingerprint=prints)
    flaky = Attempt(outcome=Outcome.FAILED, failures=(failure,)) if number % 3 == 0 else passed()
    at = time.time() - 1000 + number
    return Run(
        id=new_id(lambda: at),
        started_at=at,
        duration_s=1.0,
        target=Target(root="/p", python="/p/python", source=".venv"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED if flaky.failures else Status.PASSED,
        terminations=(Finished(exit_code=len(flaky.failures)),),
        revision=Revision(digest="r"),
        environment=Environment(),
        collected=2,
        tests=(Ran(id=TEST, attempts=(flaky,)), Ran(id="t.py::test_plain", attempts=(passed(),))),
    )


def passed() -> Attempt:
    return Attempt(outcome=Outcome.PASSED, call_s=0.5)


def opened(folder: Path) -> Store:
    return Store(Journal(folder), Embedded(folder=str(folder)), deadline_s=60.0)


@pytest.fixture(scope="module")
async def pruned(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pruned") / "s"
    async with opened(folder) as store:
        for number in range(RUNS):
            store.keep(a_run(number))
        await store.feed()
        await store.prune(count=KEPT, age_s=1e9, size_bytes=1 << 30)
        assert len(store.journal.paths()) == KEPT
    return folder


@pytest.fixture
def folder(pruned, tmp_path) -> Path:
    return Path(shutil.copytree(pruned, tmp_path / "s"))


async def told(store: Store) -> tuple[int, int, int]:
    """How many runs are known, how many samples of the flaky test, and how often its cause was seen."""
    tests = await store.tests([TEST])
    causes = {cause.fingerprint: cause.count for cause in await store.failures()}
    return (
        len(await store.runs(limit=100)),
        len(tests[TEST].samples) if TEST in tests else 0,
        causes.get(CAUSE, 0),
    )


WHOLE = (RUNS, RUNS, RUNS // 3)


@contextmanager
def withheld(path: Path):
    """A *path* that the system does not let anybody open; root is not kept out by its mode."""
    aside = path.with_name("aside")
    path.rename(aside)
    path.symlink_to(path)
    yield
    path.unlink()
    aside.rename(path)


@pytest.mark.parametrize("part", ["chroma", "chroma/chroma.sqlite3", "chroma/recall.json"])
async def test_index_that_cannot_be_read_just_now_is_never_made_anew(folder, part):
    with withheld(folder / part):
        async with opened(folder) as store:
            assert len(await store.runs(limit=100)) == KEPT
            assert "cannot be read" in " ".join(store.troubles)
            assert not (await store.status()).healthy
            with pytest.raises(StoreUnavailable, match="move that folder away"):
                await store.rebuild()
    async with opened(folder) as store:
        assert await told(store) == WHOLE
        assert store.troubles == ()
    assert not (folder / "chroma.old").exists()


async def test_lost_name_of_the_writer_loses_no_past(folder):
    (folder / "writer").write_text("")
    async with opened(folder) as store:
        await store.rebuild()
        assert await told(store) == WHOLE
        store.keep(a_run(RUNS + 1))
        await store.feed()
        assert await told(store) == (RUNS + 1, RUNS + 1, RUNS // 3)
    (folder / "writer").unlink()
    async with opened(folder) as store:
        store.keep(a_run(RUNS + 2))
        while store.behind:  # which finds the rows of another name, and writes them anew
            await store.feed()
        assert await told(store) == (RUNS + 2, RUNS + 2, RUNS // 3)


async def test_process_that_dies_as_a_new_index_takes_the_old_ones_place_loses_nothing(folder):
    (folder / "chroma").rename(folder / "chroma.old")
    async with opened(folder) as store:
        await store.status()
        assert await told(store) == WHOLE


DYING = """
import json, os, shutil, sys
from pathlib import Path
from pytest_recall.store import archive, ids
from pytest_recall.store.backend import Embedded
from pytest_recall.store.worker import Worker

template, *folders = map(Path, sys.argv[1:])
class Killed(BaseException): ...

def counted(step):
    def call(*words, **options):
        global left
        left -= 1
        if not left:
            raise Killed
        return step(*words, **options)
    return call

def told(folder):
    worker = Worker(folder, Embedded(folder=str(folder)))
    worker.rebuild()
    if [path.name for path in folder.glob("chroma.old*")] != ["chroma.old"]:
        worker.rebuild(anyway=True)
    rows = worker.runs(limit=100, before="", since=0.0, space="", status="", scope="", asked=False)["rows"]
    worker.close()
    return len(rows), sorted(path.name for path in folder.glob("chroma.*"))

steps = os.rename, shutil.rmtree
for number, folder in enumerate(folders, 1):
    shutil.copytree(template, folder)
    left = number
    os.rename, shutil.rmtree = map(counted, steps)
    died = True
    try:
        Worker(folder, Embedded(folder=str(folder))).rebuild()
        died = False
    except Killed:
        pass
    os.rename, shutil.rmtree = steps
    print(json.dumps([died, *told(folder)]))
"""


async def test_process_that_dies_at_any_step_of_a_second_rebuild_loses_nothing_of_what_the_first_put_aside(
    folder, tmp_path
):
    shutil.copytree(folder / "chroma", folder / "chroma.old")
    (folder / "chroma" / "chroma.sqlite3").write_bytes(b"torn")
    command = [sys.executable, "-c", DYING, str(folder), *(str(tmp_path / str(step)) for step in range(6))]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    left = ["chroma.lock", "chroma.old"]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines == [[died, RUNS, left] for died in (*[True] * 5, False)], done.stderr.decode()


async def test_runs_that_a_rebuild_cannot_take_over_are_told_until_they_are_found(folder):
    database = folder / "chroma" / "chroma.sqlite3"
    whole = database.read_bytes()
    database.write_bytes(b"torn")
    async with opened(folder) as store:
        await store.rebuild()
        assert await told(store) == (KEPT, KEPT, 1)
        assert f"{RUNS - KEPT} run(s) are missing" in " ".join(store.troubles)
    (folder / "chroma.old" / "chroma.sqlite3").write_bytes(whole)
    async with opened(folder) as store:
        store.keep(a_run(RUNS + 1))
        await store.feed()
        assert "are missing" in " ".join(store.troubles)
        await store.rebuild()
        assert await told(store) == (RUNS + 1, RUNS + 1, RUNS // 3)
        assert store.troubles == ()


async def test_index_whose_notes_are_torn_is_asked_and_made_anew(folder):
    manifest = folder / "chroma" / "recall.json"
    manifest.write_bytes(manifest.read_bytes()[:30])
    async with opened(folder) as store:
        await store.runs(limit=100)
        assert "recall.json, is gone or torn" in " ".join(store.troubles)
        assert "store rebuild" in " ".join(store.troubles)
        await store.status()
        assert await told(store) == WHOLE
        assert json.loads(manifest.read_bytes())["counts"]["runs"] == RUNS


def torn_rows(folder: Path) -> None:
    """Change a letter in the packed rows of the flaky test, of its cause, and of a run that the journal has forgotten."""
    with closing(sqlite3.connect(folder / "chroma" / "chroma.sqlite3")) as database:
        (forgotten,) = database.execute(
            "select embedding_id from embeddings e join embedding_metadata m on m.id = e.id where m.key = 'ms' "
            "order by m.int_value limit 1"
        ).fetchone()
        database.execute(
            "update embedding_metadata set string_value = 'A' || substr(string_value, 2) where key = 'v0' and id in "
            "(select id from embedding_metadata where key = 'test' and string_value = ?) "
            "or key = 'v0' and id in (select id from embedding_metadata where key = 'key' and string_value = ?) "
            "or key = 'v0' and id in (select id from embeddings where embedding_id = ?)",
            (TEST, CAUSE, forgotten),
        )
        assert database.execute("select changes()").fetchone() == (3,)
        database.commit()


async def test_rows_that_cannot_be_read_are_told_named_and_made_anew_from_whole_runs(folder):
    torn_rows(folder)
    async with opened(folder) as store:
        assert await told(store) == (RUNS - 1, KEPT, 0)
        assert "3 row(s) of the index cannot be read" in " ".join(store.troubles)
        with pytest.raises(StoreUnavailable, match=rf"runs 0.*tests .* of {TEST}.*failures {CAUSE}"):
            await store.verify()
        await store.rebuild()
        assert await told(store) == WHOLE
        assert store.troubles == ()
        assert (await store.verify())["runs"] == RUNS


async def test_rows_that_cannot_be_read_are_not_written_over_by_the_next_run(folder):
    torn_rows(folder)
    async with opened(folder) as store:
        store.keep(a_run(RUNS))  # which fails
        while store.behind:
            await store.feed()
        assert await told(store) == (RUNS + 1, RUNS + 1, RUNS // 3 + 1)
        assert store.troubles == ()


async def test_damaged_files_of_the_journal_are_told_and_named(folder):
    journal = Journal(folder)
    torn = journal.paths()[1]
    torn.write_bytes(torn.read_bytes()[:300])
    async with opened(folder) as store:
        assert await told(store) == WHOLE, "the index knows the run, too"
        assert torn.stem in " ".join(store.troubles)
        with pytest.raises(StoreUnavailable, match=rf"Damaged: 'runs/{torn.name}[^']*' *\."):
            await store.verify()
        (folder / "rosters" / ("a" * 32)).write_bytes(b"torn")
        with pytest.raises(StoreUnavailable, match=f"runs/{torn.name}.*rosters/aaaa"):
            await store.verify()


async def test_pipe_among_the_runs_holds_nobody_and_is_set_aside(folder):
    names = [new_id(time.time) for _ in range(3)]
    for part, name in zip(("inbox", "runs", "rosters"), names, strict=True):
        os.mkfifo(folder / part / (f"{name}.run" if part != "rosters" else "b" * 32))
    async with opened(folder) as store:
        store.keep(a_run(RUNS))
        while store.behind:
            await store.feed()
        assert await told(store) == (RUNS + 1, RUNS + 1, RUNS // 3 + 1)
        assert store.journal.aside() == [f"{names[0]}.run"]
        with pytest.raises(
            StoreUnavailable, match=rf"{names[1]}.run \(.* no regular file.*rosters/bbb.*{names[0]}"
        ):
            await store.verify()
        assert archive.save(store.journal, io.BytesIO()).runs == KEPT + 1


async def test_pipe_in_place_of_the_indexs_name_holds_nobody_and_is_written_anew(folder):
    (folder / "index").unlink(missing_ok=True)
    os.mkfifo(folder / "index")
    async with opened(folder) as store:
        store.keep(a_run(RUNS))
        while store.behind:
            await store.feed()
        assert await told(store) == (RUNS + 1, RUNS + 1, RUNS // 3 + 1)
    assert (folder / "index").read_text() == "embedded"


async def test_run_of_a_clock_that_was_ahead_hides_no_later_one(folder, monkeypatch):
    now = time.time()
    ahead = replace(a_run(1), id=ids.Ids().new(lambda: now + 80_000), started_at=now + 80_000)
    async with opened(folder) as store:
        store.keep(ahead)
        red = replace(a_run(3), id=store.journal.new_id())
        store.keep(red)
        while store.behind:
            await store.feed()
    async with opened(folder) as store:
        assert [row.id for row in await store.runs(limit=2)] == [red.id, ahead.id]
        samples = (await store.tests([TEST]))[TEST].samples
        assert [sample.run for sample in samples[-2:]] == [ahead.id, red.id]
        assert (await store.failures())[0].last_run == red.id
    monkeypatch.setattr(ids, "_AHEAD_S", 3_600.0)  # as if the clock had been ahead by more than is followed
    async with opened(folder) as store:
        samples = (await store.tests([TEST]))[TEST].samples
        assert not {ahead.id, red.id} & {sample.run for sample in samples}
        assert "2 run(s) are left out" in " ".join(store.troubles)


def test_run_that_was_set_aside_is_told_until_somebody_removes_it(folder):
    journal = Journal(folder)
    newest = journal.paths()[0]
    journal.set_aside(newest)
    assert newest.name in " ".join(opened(folder).troubles)
    (folder / "broken" / newest.name).unlink()
    assert opened(folder).troubles == ()
