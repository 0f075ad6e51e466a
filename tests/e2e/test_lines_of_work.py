"""Branches in one work tree, and two work trees, take turns: what one of them mended or broke is not the other's."""

from __future__ import annotations

import os
import subprocess

import anyio
import pytest

from pytest_recall.app import App, Origin
from pytest_recall.errors import NothingToRun
from pytest_recall.history.verdict import Verdict
from pytest_recall.model import RunRequest

pytestmark = pytest.mark.anyio

TEST = "tests/test_cart.py::test_total"
FILES = {
    ".gitignore": "__pycache__/\n.pytest-recall/\n",
    "cart.py": "def total(): return 3\n",
    "tests/test_cart.py": "import cart\ndef test_total():\n    assert cart.total() == 3\n",
    "pytest.ini": "[pytest]\npythonpath = .\n",
}


class Place:
    """A work tree, and what an agent does in it."""

    def __init__(self, app, root):
        self.app, self.root = app, root
        self.written = 0

    def git(self, *words):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=self.root, capture_output=True, check=True)

    def write(self, total, *, note=""):
        # Python takes a source of the same size, written in the same second, for the one that it has compiled.
        self.written += 1
        (self.root / "cart.py").write_text(f"def total(): return {total}  # {'.' * self.written}\n{note}")

    def commit(self, total):
        self.write(total)
        self.git("commit", "-qam", f"total {total}")

    async def run(self, **request):
        asked = RunRequest(timeout_s=60, **request)
        job, _ = await self.app.start(str(self.root), asked, Origin(space="agent", source="mcp"))
        with anyio.fail_after(90):
            await job.done.wait()
        return job.outcome()

    async def verdicts(self):
        """Of a run now: what its answer says, and what a view does."""
        report = await self.run()
        judged = (await self.app.test(str(self.root), TEST)).judgement
        return {*(one.judgement.verdict for one in report.groups), judged.verdict}


@pytest.fixture
async def place(make_project):
    root = make_project(FILES)
    flags = {"allow_root": [str(root.parent)]}
    async with App(flags=flags, environ=dict(os.environ), default=root) as app:
        made = Place(app, root)
        made.git("init", "-q", "-b", "main")
        made.git("add", "-A")
        made.git("commit", "-qm", "first")
        yield made


async def test_fix_on_a_branch_counts_on_another_once_it_is_merged(place):
    await place.run()
    place.git("checkout", "-qb", "feature")
    for note in "# one\n", "# two\n":
        place.write(4, note=note)
        await place.run()
    place.commit(4)
    await place.run()
    place.write("2 + 1")
    await place.run()
    place.commit("2 + 1")
    await place.run()
    place.git("checkout", "-q", "main")
    place.write(4)
    assert await place.verdicts() == {Verdict.NEW_FAILURE}, "main never had the fix"
    place.git("checkout", "-q", ".")
    place.git("merge", "-q", "--no-ff", "feature")
    await place.run()
    place.write(4)
    assert await place.verdicts() == {Verdict.RECURRED}


async def test_what_a_branch_mended_meanwhile_still_fails_elsewhere(place):
    await place.run()
    place.commit(4)
    await place.run()
    place.write(4, note="# looked at\n")
    await place.run()
    place.git("checkout", "-qb", "feature")
    place.commit(3)
    for _ in range(2):
        await place.run()
    place.git("checkout", "-q", "main")
    place.write(4, note="# looked at again\n")
    assert await place.verdicts() == {Verdict.BROKEN}


async def test_what_failed_last_is_rerun_where_it_failed(place):
    await place.run()
    there = place.root.parent / "theirs"
    place.git("worktree", "add", "-q", "-b", "theirs", str(there))
    theirs = Place(place.app, there)
    theirs.write(4)
    await theirs.run()
    assert (await place.run()).run.status == "passed"

    again = (await theirs.run(only="failed")).run
    assert (again.status, again.collected) == ("failed", 1), "though it passed elsewhere since"
    with pytest.raises(NothingToRun, match="in this folder and on this branch"):
        await place.run(only="failed")
    place.git("checkout", "-qb", "begun")
    assert (await place.run(only="failed")).run.collected == 1, "a line that never ran it goes by any other"
    theirs.git("checkout", "-q", ".")
    theirs.git("checkout", "-q", "--detach")
    await theirs.run()
    theirs.git("checkout", "-q", "theirs")
    assert (await theirs.run(only="failed")).run.status == "passed"
