"""One journal, and one index after another: each gets the runs that another one took in, and none is let go of before."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

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
from pytest_recall.store import client
from pytest_recall.store.backend import Embedded, Http
from pytest_recall.store.client import Store
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal

pytestmark = pytest.mark.anyio
CLOCK = iter(range(1_700_000_000, 1_800_000_000))
LIMITS = {"age_s": 1e9, "size_bytes": 1 << 30}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def project() -> str:
    """Collections of its own on the one server."""
    return f"elsewhere-{new_id(time.time)}"


@pytest.fixture
def refusing(server):
    """The address of that server behind a proxy that lets nobody write."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.endswith(("/add", "/upsert", "/update")):
                self.answer(403, b'{"error": "Forbidden", "message": "quota exceeded"}')
                return
            kind = {"Content-Type": "application/json"}
            request = urllib.request.Request(server + self.path, body or None, kind, method=self.command)
            try:
                with urllib.request.urlopen(request) as answer:
                    self.answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    self.answer(error.code, error.read())

        def do_POST(self) -> None:
            self.do_GET()

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def a_run(cause: str = "") -> Run:
    """A run of one test, which failed where there is a cause for it."""
    at = next(CLOCK)
    prints = Fingerprint(group=f"fp1:{cause}", strict=f"fp1:{cause}", loose=f"fp1:{cause}")
    failure = Failure(phase="call", exception=cause, message=cause, fingerprint=prints)
    failed = Attempt(outcome=Outcome.FAILED, failures=(failure,))
    return Run(
        id=new_id(lambda: at),
        started_at=float(at),
        duration_s=1.0,
        target=Target(root="/p", python="/p/python", source=".venv"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED if cause else Status.PASSED,
        terminations=(Finished(exit_code=1 if cause else 0),),
        revision=Revision(digest="d"),
        environment=Environment(),
        collected=1,
        tests=(Ran(id="t.py::test_a", attempts=(failed if cause else Attempt(outcome=Outcome.PASSED),)),),
    )


def opened(folder: Path, url: str = "", project: str = "") -> Store:
    backend = Http(url=url, project=project) if url else Embedded(folder=str(folder))
    return Store(Journal(folder), backend, deadline_s=60)


async def kept(store: Store, *runs: Run) -> None:
    """These are in the index."""
    for run in runs:
        store.keep(run)
    await store.feed()
    assert (store.behind, store.troubles) == (0, ())


async def test_no_run_is_let_go_of_before_the_index_that_is_in_use_has_it(tmp_path, server, project):
    runs = [a_run("AlphaError"), a_run(), a_run()]
    async with opened(tmp_path) as store:
        await kept(store, *runs)
    async with opened(tmp_path, server, project) as store:
        step = store.prune_later(count=1, **LIMITS)  # as every command does on opening
        assert step.result(60) == 0
        assert await store.feed() == 3
        assert await store.prune(count=1, **LIMITS) == 2
    async with opened(tmp_path / "another clone", server, project) as store:
        assert (await store.run(runs[0].id)).tests[0].outcome is Outcome.FAILED
        assert [failure.exception for failure in await store.failures()] == ["AlphaError"]


async def test_prune_counts_what_the_step_behind_its_opening_took(tmp_path):
    async with opened(tmp_path) as store:
        await kept(store, *(a_run() for _ in range(3)))
    async with opened(tmp_path) as store:
        store.prune_later(count=1, **LIMITS).result(60)
        assert await store.prune(count=1, **LIMITS) == 2


async def test_what_another_index_took_in_is_in_every_answer_and_soon_in_this_index(
    tmp_path, server, project, monkeypatch
):
    monkeypatch.setattr(client, "FAR", 1)  # the journal alone is not enough
    async with opened(tmp_path) as store:
        await kept(store, a_run("AlphaError"), a_run())
    async with opened(tmp_path, server, project) as store:
        status = await store.status()
        assert (status.counts["runs"], status.behind) == (0, 2)  # which it says, and mends
        await kept(store, a_run("ServerOnlyError"))
        assert (await store.status()).counts["runs"] == 3
    async with opened(tmp_path) as store:  # and back
        assert [one.exception for one in await store.failures()] == ["ServerOnlyError", "AlphaError"]
        await store.feed()
        assert (await store.similar("ServerOnlyError"))[0][0].count == 1
        assert (await store.status()).counts["runs"] == 3
        assert store.troubles == ()
    async with opened(tmp_path) as store:  # from here on, nothing is looked for
        assert [one.count for one in await store.failures()] == [1, 1]
        assert not store._line.awake


async def test_server_that_was_emptied_gets_everything_again(tmp_path, server, project):
    runs = [a_run("AlphaError"), a_run()]
    async with opened(tmp_path, server, f"{project}-a") as store:
        await kept(store, *runs)
    async with opened(tmp_path, server, f"{project}-b") as store:  # as good as an empty one
        assert [row.id for row in await store.runs()] == [run.id for run in reversed(runs)]
        assert await store.feed() + (await store.status()).counts["runs"] >= 2
        assert (store.behind, store.troubles) == (0, ())
    async with opened(tmp_path / "another clone", server, f"{project}-b") as store:
        assert len(await store.runs()) == 2


async def test_two_that_use_another_index_each_by_turns_miss_nothing(tmp_path, server, project):
    async with opened(tmp_path) as here, opened(tmp_path, server, project) as there:
        for number in range(3):
            await kept(here, a_run(f"Here{number}Error"))
            await kept(there, a_run(f"There{number}Error"))
        for store in (here, there):
            await store.feed()
            assert (await store.status()).counts["runs"] == 6
            assert len(await store.failures()) == 6


def test_run_in_both_folders_is_one_run_and_stays_until_it_is_taken_in_again(tmp_path):
    journal = Journal(tmp_path)
    run = a_run()
    journal.settle(journal.write(run))
    size = journal.size()
    journal.belong("another", journal.settled())
    assert Journal(tmp_path).index() == "another"
    assert (len(journal.paths()), journal.size()) == (1, size)
    assert [*journal.settled(), *journal.leaving(count=0, now=time.time(), **LIMITS)] == []
    assert journal.read(journal.pending()[0]) == run
    journal.settle(journal.pending()[0])
    assert journal.pending() == []
    assert journal.read(journal.settled()[0]) == run


async def test_server_that_takes_nothing_in_is_told_though_it_answers(tmp_path, refusing, project):
    run = a_run("AlphaError")
    async with opened(tmp_path / ".pytest-recall", refusing, project) as store:
        store.keep(run)
        assert await store.feed() == 0
        assert [row.id for row in await store.runs()] == [run.id]
        (trouble,) = store.troubles
        assert "takes no runs in" in trouble
        assert "quota exceeded" in trouble
        assert "behind by 1" in trouble
        assert not store.degraded  # the answers are whole
    command = [sys.executable, "-m", "pytest_recall", "store", "status", "--store", refusing, "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert (told["healthy"], told["behind"]) == (False, 1)
    assert "quota exceeded" in told["error"]
