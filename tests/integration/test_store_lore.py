"""What was learnt, through the store: from files when the index is away, and to other machines when it is shared."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

from pytest_recall.history.proof import Evidence, Proof
from pytest_recall.model import (
    Attempt,
    Change,
    Environment,
    Fate,
    Finished,
    Note,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Sample,
    Status,
    Target,
    Transition,
)
from pytest_recall.model import Test as Ran
from pytest_recall.store import client, folding
from pytest_recall.store.backend import Embedded, Http
from pytest_recall.store.client import Store
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal

pytestmark = pytest.mark.anyio
PATIENT_S = 60.0  # a busy machine may be slow; what is tested is not its speed
CAUSE = "fp1:aaaaaaaaaaaa"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def opened(folder: Path, backend: Http | None = None) -> Store:
    return Store(Journal(folder), backend or Embedded(folder=str(folder)), deadline_s=PATIENT_S)


def transition(number: int = 1, **fields) -> Transition:
    return Transition(
        **{
            "test": f"t.py::test_{number}[\ud800]",
            "fingerprint": CAUSE,
            "red": Revision(digest="red"),
            "green": Revision(digest="green"),
            "red_run": "r1",
            "green_run": "r2",
            "at": float(number),
            "failed": 3,
            "changes": (Change(path="shop/cart.py", scope="imported", hunks="@@ -1 +1 @@\n-a\n+b\n"),),
        }
        | fields
    )


def note(about: str, text: str = "the cart rounds down", **fields) -> Note:
    made = {"id": new_id(time.time), "about": about, "kind": "diagnosis", "text": text, "at": 1.0} | fields
    return Note(**made)


async def taught(store: Store, **counts: int) -> None:
    """Wait until the index has so many of each."""
    until = time.monotonic() + PATIENT_S
    while (found := (await store.status()).counts) and time.monotonic() < until:
        if counts.items() <= found.items():
            return
    pytest.fail(f"{found} and never {counts}")


async def test_what_was_learnt_is_found_by_test_and_by_cause(tmp_path):
    async with opened(tmp_path) as store:
        store.learn([transition(1), transition(2, fingerprint="fp1:bbbbbbbbbbbb")])
        store.note(note(CAUSE))
        assert await store.transitions() == [transition(2, fingerprint="fp1:bbbbbbbbbbbb"), transition(1)]
        assert await store.transitions(tests=[transition(1).test]) == [transition(1)]
        assert await store.transitions(fingerprints=[CAUSE]) == [transition(1)]
        assert await store.transitions(fingerprints=["fp1:cccccccccccc"]) == []
        assert [one.about for one in await store.notes([CAUSE, "other"])] == [CAUSE]


async def test_index_has_it_and_a_rebuild_gives_it_back(tmp_path):
    async with opened(tmp_path) as store:
        store.learn([transition(1), transition(2)])
        store.note(note(CAUSE))
        await taught(store, transitions=2, notes=1)
        store.learn([transition(1, state="confirmed")])
        await store.rebuild()
        await taught(store, transitions=2, notes=1)
        assert [one.state for one in await store.transitions(tests=[transition(1).test])] == ["confirmed"]


async def test_what_was_proven_and_what_became_of_tests_is_kept_too(tmp_path):
    at = Sample(run="r", at=1.0, revision="d", environment="e", space="agent", outcome=Outcome.FAILED)
    proof = Proof(alone=(at, at), base=(at,), polluter="t.py::test_p", command="pytest 't.py'")
    async with opened(tmp_path) as store:
        store.learn([Evidence(run="r1", at=1.0, proofs=(("t.py::test_1", Proof(again=(at,))),))])
        store.learn([Evidence(run="r1", at=2.0, proofs=(("t.py::test_1", proof),), remarks=("no time",))])
        store.learn(
            [Fate(test="t.py::test_1", at=1.0), Fate(test="t.py::test_1", at=2.0, became="t.py::test_2")]
        )
        await taught(store, notes=2)
    async with opened(tmp_path) as store:
        assert [dict(one.proofs) for one in await store.evidence("r1")] == [{"t.py::test_1": proof}]
        assert await store.evidence("r2") == []
        assert {test: one.became for test, one in (await store.fates()).items()} == {
            "t.py::test_1": "t.py::test_2"
        }
        assert await store.notes() == []


async def test_files_answer_while_the_index_is_locked_or_gone(tmp_path):
    async with opened(tmp_path) as store:
        store.learn([transition(1)])
        await taught(store, transitions=1)
    shutil.rmtree(tmp_path / "chroma")
    store = opened(tmp_path)
    with FileLock(tmp_path / "chroma.lock"):
        async with store:
            start = time.monotonic()
            assert await store.transitions() == [transition(1)]
            assert time.monotonic() - start < 1.0


async def test_shared_server_gives_it_to_other_machines(tmp_path, server):
    backend = Http(url=server, project="learning")
    async with opened(tmp_path / "mine", backend) as mine, opened(tmp_path / "yours", backend) as yours:
        mine.learn([transition(1), transition(2, fingerprint="fp1:bbbbbbbbbbbb")])
        mine.note(note(CAUSE))
        mine.learn([Evidence(run="r1", at=1.0, proofs=()), Fate(test="t.py::gone", at=1.0)])
        await taught(yours, transitions=2, notes=3)
        assert [one.run for one in await yours.evidence("r1")] == ["r1"]
        assert list(await yours.fates()) == ["t.py::gone"]
        found = await yours.transitions(fingerprints=[CAUSE])
        assert found == [transition(1)], yours.troubles
        assert await yours.transitions(tests=[transition(2).test], fingerprints=[]) == [
            transition(2, fingerprint="fp1:bbbbbbbbbbbb")
        ]
        assert [one.text for one in await yours.notes([CAUSE])] == ["the cart rounds down"]
        # The newer state counts, whoever wrote it.
        yours.learn([transition(1, state="confirmed", grade="B")])
        await taught(mine, transitions=3)
        assert [one.state for one in await mine.transitions(fingerprints=[CAUSE])] == ["confirmed"]
        assert not mine.troubles


def run(outcome: Outcome, name: str) -> Run:
    return Run(
        id=new_id(time.time),
        started_at=time.time(),
        duration_s=1.0,
        target=Target(root="/p", python="/p/python", source="explicit"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED if outcome.bad else Status.PASSED,
        terminations=(Finished(exit_code=int(outcome.bad)),),
        revision=Revision(digest=name),
        environment=Environment(),
        collected=1,
        tests=(Ran(id=f"t.py::test_{name}", attempts=(Attempt(outcome=outcome),)),),
    )


@pytest.mark.parametrize("told_first", [True, False])
async def test_pass_under_a_new_name_is_known_however_many_runs_came_after_it(
    tmp_path, monkeypatch, told_first
):
    monkeypatch.setattr(client, "FAR", 1)  # the journal alone is not enough,
    monkeypatch.setattr(folding, "FAR", 2)  # and two runs are as many as are looked through
    monkeypatch.setattr(folding, "NEAR", 2)
    async with opened(tmp_path) as store:

        async def kept(*runs: Run) -> None:
            for one in runs:
                store.keep(one)
            while store.behind:
                await store.feed()

        def tell() -> None:
            store.learn([Fate(test="t.py::test_old", at=time.time(), became="t.py::test_new")])

        await kept(run(Outcome.FAILED, "old"))
        if told_first:
            tell()
        await kept(run(Outcome.PASSED, "new"))
        if not told_first:
            tell()
        await taught(store, notes=1)
        await kept(*(run(Outcome.PASSED, "other") for _ in range(3)))
        for _ in "before and after", "a rebuild":
            known = await store.tests()
            assert known["t.py::test_old"].gone
            assert [one.outcome.bad for one in known["t.py::test_new"].samples] == [True, False]
            assert (await store.tests(["t.py::test_new"]))["t.py::test_new"].samples[-1].outcome.bad is False
            await store.rebuild()
        assert not store.troubles


async def test_pass_under_a_name_that_another_machine_was_told_of_is_known(tmp_path, server):
    backend = Http(url=server, project="renamed")
    async with opened(tmp_path / "mine", backend) as mine, opened(tmp_path / "yours", backend) as yours:
        for one in run(Outcome.FAILED, "old"), run(Outcome.PASSED, "other"):
            yours.keep(one)
            await yours.feed()
        mine.learn([Fate(test="t.py::test_old", at=time.time(), became="t.py::test_new")])
        await taught(mine, notes=1)
        yours.keep(run(Outcome.PASSED, "new"))
        await yours.feed()
        assert not yours.behind
        found = (await mine.tests())["t.py::test_new"]
        assert [one.outcome.bad for one in found.samples] == [True, False]
