"""Lessons of runs: which fix is shown, what may be kept of it, and that a lesson lost costs no answer."""

import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytest_recall import learning
from pytest_recall.history import trend
from pytest_recall.model import (
    Attempt,
    Change,
    Environment,
    Finished,
    Outcome,
    Revision,
    Run,
    RunRequest,
    RunRow,
    Status,
    Target,
    Transition,
)
from pytest_recall.model import Test as Ran

pytestmark = pytest.mark.anyio
OWN = "t.py::test_own"
RUN = Run(
    id="01968f3e-1c00-7abc-8def-0123456789ab",
    started_at=1.0,
    duration_s=1.0,
    target=Target(root="/p", python="/p/python", source="explicit"),
    rootdir="/p",
    request=RunRequest(),
    status=Status.PASSED,
    terminations=(Finished(exit_code=0),),
    revision=Revision(digest="d"),
    environment=Environment(),
    tests=(Ran(id=OWN, attempts=(Attempt(outcome=Outcome.PASSED),)),),
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def transition(**fields) -> Transition:
    made = {
        "test": OWN,
        "fingerprint": "fp1:aaaaaaaaaaaa",
        "red": Revision(digest="r"),
        "green": Revision(digest="g"),
        "red_run": "r1",
        "green_run": "r2",
        "at": 1.0,
        "failed": 1,
        "changes": (Change(path="a.py", scope="imported", hunks="@@"),),
    }
    return Transition(**(made | fields))


def test_a_proven_fix_of_this_test_is_shown_before_any_other():
    confirmed = transition(state="confirmed", grade="B")
    others = [
        transition(at=9.0),
        transition(test="t.py::test_other", state="confirmed", grade="A", at=9.0),
        transition(state="confirmed", grade="A", weakened=("assertion removed",), at=9.0),
        transition(state="reverted", grade="A", at=9.0),
        transition(state="superseded", grade="A", at=9.0),
    ]
    assert learning._best([*others, confirmed], frozenset({OWN})) is confirmed
    assert learning._best([transition(state="superseded")], frozenset({OWN})) is None


def test_what_only_a_change_of_the_test_made_pass_is_known_as_such():
    adapted = transition(changes=(Change(path="t.py", scope="test", hunks="@@"),), state="confirmed")
    weaker = transition(fingerprint="fp1:b", weakened=("assertion removed",))
    for known, unmended in (
        ([adapted, weaker], {adapted.fingerprint, "fp1:b"}),
        ([adapted, weaker, transition()], {"fp1:b"}),
    ):
        assert learning._unmended(known, known) == unmended


def test_what_is_kept_has_no_secrets_and_a_bound():
    hunk = "@@ -1 +1 @@\n-password=hunter2secret\n" + "+x\n" * 20_000
    changes = tuple(Change(path=f"{n}.py", scope="imported", hunks=hunk) for n in range(50))
    kept = learning._bounded(transition(changes=changes, intents=("token=hunter2secret",)))
    assert "hunter2secret" not in repr(kept)
    assert sum(len(change.hunks) for change in kept.changes) <= 60_000
    assert len(kept.changes) == 50


def test_paths_of_a_change_are_those_of_the_tests_in_a_repository_of_many_projects(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "packages" / "shop").mkdir(parents=True)
    assert learning._within_repository(tmp_path / "packages" / "shop") == "packages/shop/"
    assert learning._within_repository(tmp_path) == ""


def test_sources_are_the_changed_ones_first_and_none_of_an_environment(tmp_path):
    for path in ("a.py", "z/changed.py", ".venv/lib/x.py", "node_modules/y.py", "data.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"import a \xff\n")
    assert list(learning.read_sources(tmp_path, ["z/changed.py", "gone.py", "data.txt"])) == [
        "z/changed.py",
        "a.py",
    ]


async def test_a_lesson_lost_is_a_warning_and_no_error():
    async def broken() -> None:
        raise RuntimeError("what nobody thought of")

    told = await learning.learn(SimpleNamespace(store=SimpleNamespace(tests=broken)), RUN)
    assert "what nobody thought of" in told


def test_fix_goes_from_a_commit_to_one_that_has_it_in_its_past(tmp_path):
    def git(*words: str) -> str:
        command = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def row(branch: str, commit: str, *, dirty: bool = False) -> RunRow:
        where = Target(root=str(tmp_path), python="/p/python", source="explicit")
        revision = Revision(digest="d", commit=commit, branch=branch, dirty=dirty)
        return trend.row(replace(RUN, target=where, rootdir=where.root, revision=revision))

    git("init", "-q", "-b", "main")
    first, second = (
        git("commit", "-q", "--allow-empty", "-m", name) or git("rev-parse", "HEAD") for name in "ab"
    )
    git("checkout", "-q", "-b", "side", first)
    git("commit", "-q", "--allow-empty", "-m", "c")
    side = git("rev-parse", "HEAD")
    assert learning.goes_on(tmp_path, row("main", first), row("other", second))
    assert learning.goes_on(tmp_path, row("main", second, dirty=True), row("other", second))
    assert not learning.goes_on(tmp_path, row("side", side), row("main", first))
    assert not learning.goes_on(tmp_path, row("side", side), row("main", second))
    assert not learning.goes_on(tmp_path, row("side", "0" * 40), row("main", "nonsense"))
    elsewhere = [
        replace(row("main", first, dirty=dirty), line=f"x/y/z{'+' * dirty}") for dirty in (True, False)
    ]
    assert [learning.goes_on(tmp_path, red, row("other", second)) for red in elsewhere] == [False, True]
