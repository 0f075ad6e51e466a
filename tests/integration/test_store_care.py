"""A store that is looked after: other embeddings, moved whole, what a rebuild carries over, tests that are gone."""

from __future__ import annotations

import io
import json
import re
import tarfile
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import pytest

from pytest_recall.errors import StoreUnavailable, Unimportable
from pytest_recall.model import (
    Attempt,
    Environment,
    Failure,
    Fingerprint,
    Finished,
    Note,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Status,
    Target,
    Transition,
)
from pytest_recall.model import Test as Ran
from pytest_recall.store import archive
from pytest_recall.store.backend import Embedded, Http
from pytest_recall.store.client import Store
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal

pytestmark = pytest.mark.anyio
CLOCK = iter(range(1_700_000_000, 1_800_000_000))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def model():
    """A small model of letters behind the interface of Hugging Face's embedding server; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
            asked.extend(texts)
            vectors = [
                [1.0, *(float(text.lower().count(letter)) for letter in "abcdefghijk")] for text in texts
            ]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(vectors).encode())

        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f'huggingface_server {{"url": "http://127.0.0.1:{httpd.server_port}"}}', asked
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def transition(number: int) -> Transition:
    return Transition(
        test=f"t.py::test_{number}",
        fingerprint="fp1:aaaaaaaaaaaa",
        red=Revision(digest="red"),
        green=Revision(digest="green"),
        red_run="r1",
        green_run="r2",
        at=float(number),
        failed=3,
    )


def note(about: str) -> Note:
    return Note(id=new_id(lambda: next(CLOCK)), about=about, kind="diagnosis", text="it rounds down", at=1.0)


async def taught(store: Store, **counts: int) -> None:
    """Wait until the index has so many of each."""
    until = time.monotonic() + 60
    while (found := (await store.status()).counts) and time.monotonic() < until:
        if counts.items() <= found.items():
            return
    pytest.fail(f"{found} and never {counts}")


def a_run(message: str) -> Run:
    at = next(CLOCK)
    prints = Fingerprint(group=f"fp1:{abs(hash(message)) % 16**12:012x}", strict="fp1:s", loose="fp1:l")
    failure = Failure(phase="call", exception="KeyError", message=message, fingerprint=prints)
    attempt = Attempt(outcome=Outcome.FAILED, failures=(failure,))
    return Run(
        id=new_id(lambda: at),
        started_at=float(at),
        duration_s=1.0,
        target=Target(root="/p", python="/p/python", source=".venv"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED,
        terminations=(Finished(exit_code=1),),
        revision=Revision(digest="d"),
        environment=Environment(),
        collected=1,
        tests=(Ran(id="t.py::test_a", attempts=(attempt,)),),
    )


def opened(folder: Path, embedding: str = "", url: str = "") -> Store:
    journal = Journal(folder)
    if url:
        return Store(journal, Http(url=url, project="care", embedding=embedding), deadline_s=60)
    return Store(journal, Embedded(folder=str(folder), embedding=embedding), deadline_s=60)


async def test_another_embedding_is_taken_up_by_reindexing_and_never_mixed(tmp_path, model):
    setting, asked = model
    async with opened(tmp_path) as store:
        for message in ("'abc'", "'jkl'"):
            store.keep(a_run(message))
        await store.feed()
        assert (await store.status()).versions["embedding"].startswith("recall-")
    async with opened(tmp_path, setting) as store:
        assert len(await store.runs()) == 2
        assert await store.similar("'abc'") == []
        assert "store reindex" in " ".join(store.troubles)
        assert asked == []
        assert await store.reindex() == 2
        assert (await store.status()).versions["embedding"].startswith("huggingface_server-")
        assert (await store.similar("'cba'"))[0][0].message == "'abc'"
        assert len(asked) == 3
    async with opened(tmp_path) as store:
        assert await store.similar("'abc'") == []
        assert "huggingface_server" in " ".join(store.troubles)


@pytest.mark.parametrize(
    "setting", ["no_such_model", "ollama {", 'huggingface_server {"url": "http://127.0.0.1:9"}']
)
async def test_embedding_that_cannot_be_had_costs_no_run_and_says_so(tmp_path, setting):
    async with opened(tmp_path, setting) as store:
        store.keep(a_run("'abc'"))
        assert await store.feed() == 0
        assert re.search("'embedding'|embedding function", " ".join(store.troubles)), store.troubles
        assert len(await store.runs()) == 1
    async with opened(tmp_path) as store:
        if (await store.status()).error:
            await store.reindex()
        await store.feed()
        assert (await store.status()).counts["runs"] == 1


async def test_embeddings_lie_apart_on_a_shared_server(tmp_path, server, model):
    setting, _ = model
    async with opened(tmp_path / "a", url=server) as ours:
        ours.keep(a_run("'abc'"))
        await ours.feed()
        async with opened(tmp_path / "b", setting, server) as theirs:
            assert await theirs.similar("'abc'") == []
            assert await theirs.reindex() == 1
            assert [failure.message for failure, _ in await theirs.similar("'abc'")] == ["'abc'"]
            assert len(await theirs.runs()) == 1
        assert [failure.message for failure, _ in await ours.similar("'abc'")] == ["'abc'"]
    with pytest.raises(StoreUnavailable):
        await ours.reindex()


async def test_store_moves_whole_through_a_file_and_only_once(tmp_path):
    out = io.BytesIO()
    async with opened(tmp_path / "a") as store:
        runs = [a_run("'abc'"), a_run("'jkl'")]
        store.keep(runs[0])
        await store.feed()
        store.keep(runs[1])
        store.learn([transition(1)])
        store.note(note("fp1:aaaaaaaaaaaa"))
        assert archive.save(store.journal, out).runs == 2
    async with opened(tmp_path / "b") as store:
        moved = archive.load(store.journal, io.BytesIO(out.getvalue()))
        assert (moved.runs, moved.lore, moved.known, moved.refused) == (2, 2, 0, ())
        again = archive.load(store.journal, io.BytesIO(out.getvalue()))
        assert (again.runs, again.lore, again.known) == (0, 0, 4)
        await store.feed()
        assert [await store.run(run.id) for run in runs] == runs
        assert await store.transitions() == [transition(1)]
        assert len(await store.notes()) == 1


def a_tar(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


ABOUT = ("pytest-recall.json", b'{"format": 1}')


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no tar",
        a_tar(("other", b"x")),
        a_tar(("pytest-recall.json", b'{"format": 2}')),
        a_tar(ABOUT)[:40],
    ],
    ids=["empty", "no tar", "another tar", "a later format", "cut off"],  # gzip's bytes tell the time
)
def test_what_is_no_exported_store_is_refused_in_a_sentence(tmp_path, data):
    with pytest.raises(Unimportable):
        archive.load(Journal(tmp_path), io.BytesIO(data))


def test_members_that_are_none_of_ours_are_named_and_nothing_of_them_is_kept(tmp_path):
    name = "019a0000-0000-7000-8000-000000000000"
    journal = Journal(tmp_path / "store")
    hostile = a_tar(
        ABOUT,
        ("../../evil", b"x"),
        (f"runs/{name}.run", b"torn"),
        (f"lore/{name}.json", b"{}"),
        (f"rosters/{'a' * 32}", b"x"),
        ("/etc/passwd", b"x"),
    )
    moved = archive.load(journal, io.BytesIO(hostile))
    assert (moved.runs, moved.lore, len(moved.refused)) == (0, 0, 5)
    assert list(journal.paths()) == []
    assert not (tmp_path / "evil").exists()
    assert not list((tmp_path / "store").glob("incoming-*"))


async def test_rebuild_carries_over_lessons_whose_files_are_gone(tmp_path):
    async with opened(tmp_path) as store:
        store.learn([transition(1), transition(2)])
        store.note(note("fp1:aaaaaaaaaaaa"))
        await taught(store, transitions=2, notes=1)
    for path in (tmp_path / "lore").iterdir():
        path.unlink()
    async with opened(tmp_path) as store:
        await store.rebuild()
        counts = (await store.status()).counts
        assert (counts["transitions"], counts["notes"]) == (2, 1)


async def test_archive_has_what_only_the_index_still_keeps(tmp_path):
    runs = [a_run("'abc'"), *(a_run("'jkl'") for _ in range(3))]
    many = tuple(Ran(id=f"t.py::test_{n}", attempts=(Attempt(outcome=Outcome.PASSED),)) for n in range(300))
    runs[1] = replace(runs[1], tests=many, collected=300)  # whose list of tests is a roster
    out = io.BytesIO()
    async with opened(tmp_path / "a") as store:
        for run in runs:
            store.keep(run)
        await store.feed()
        assert await store.prune(count=2, age_s=1e9, size_bytes=1 << 30) == 2
        causes = [(one.message, one.count) for one in await store.failures()]
        saved = await anyio.to_thread.run_sync(archive.save, store.journal, out, store.forgotten())
        assert (saved.runs, saved.older, saved.missing, saved.why) == (4, 2, 0, "")
    async with opened(tmp_path / "b") as store:
        assert archive.load(store.journal, io.BytesIO(out.getvalue())).refused == ()
        assert store.journal.seconds(runs[1].id) == {}  # they left them with the journal
        await store.feed()
        assert [row.id for row in await store.runs()] == [run.id for run in reversed(runs)]
        assert (await store.run(runs[1].id)).tests.ids == runs[1].tests.ids
        assert [(one.message, one.count) for one in await store.failures()] == causes
    async with opened(tmp_path / "a") as store:
        await store.verify()
        (tmp_path / "a" / "chroma" / "chroma.sqlite3").unlink()
        saved = await anyio.to_thread.run_sync(archive.save, store.journal, io.BytesIO(), store.forgotten())
        assert saved.runs == 2
        assert "damaged" in saved.why
