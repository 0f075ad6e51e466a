"""What a project's runs add up to: counts that only rise, whatever becomes of the runs themselves."""

import time
from math import inf
from pathlib import Path

import pytest

from pytest_recall import observing
from pytest_recall.history import tally
from pytest_recall.model import (
    Attempt,
    Collector,
    Crashed,
    Environment,
    Finished,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Status,
    Target,
)
from pytest_recall.model import Test as OneTest
from pytest_recall.store.ids import new_id
from pytest_recall.store.journal import Journal


def run(*tests: OneTest, **more) -> Run:
    known = {
        "id": new_id(time.time),
        "started_at": 1.0,
        "duration_s": 1.0,
        "target": Target(root="/p", python="/p/python", source="explicit"),
        "rootdir": "/p",
        "request": RunRequest(),
        "status": Status.FAILED,
        "terminations": (Finished(exit_code=1),),
        "revision": Revision(digest="r"),
        "environment": Environment(),
        "space": "local",
        "tests": tests,
    }
    return Run(**(known | more))


def one(outcome: Outcome, seconds: float = 0.02, **more) -> OneTest:
    return OneTest(id=f"t.py::test_{outcome}", attempts=(Attempt(outcome=outcome, call_s=seconds, **more),))


def counted(journal: Journal) -> tally.Counted:
    return observing._tallied(journal, inf).spaces["local"]


def keep(journal: Journal, *runs: Run) -> None:
    for each in runs:
        journal.settle(journal.write(each))


MIXED = (
    one(Outcome.PASSED),
    one(Outcome.FAILED, 2.0),
    one(Outcome.ERROR, phase="setup"),
    one(Outcome.SKIPPED),
)


def test_every_way_to_fail_is_counted_once():
    broken = Collector(id="broken.py", outcome=Outcome.ERROR)
    made = tally.Counted()
    made = tally.add(made, run(*MIXED, collectors=(broken, Collector(id="s.py", outcome=Outcome.SKIPPED))))
    made = tally.add(
        made,
        run(
            one(Outcome.CRASHED),
            one(Outcome.TIMED_OUT),
            status=Status.CRASHED,
            terminations=(Crashed(exit_code=-11),),
        ),
    )
    assert made.runs == {"failed": 1, "crashed": 1}
    assert made.failures == {"failed": 1, "error": 1, "collection_error": 1, "crashed": 1, "timed_out": 1}
    assert made.tests == {"passed": 1, "failed": 1, "error": 1, "skipped": 1, "crashed": 1, "timed_out": 1}
    # Whoever was cut short or skipped has no duration that says anything.
    assert sum(made.spread.buckets) == 3
    assert made.spread.seconds == pytest.approx(2.04)
    assert made.spread.buckets[tally.BOUNDS.index(2.5)] == 1


def test_a_duration_on_a_bound_is_within_it():
    """As Prometheus' `le` says: less or equal."""
    made = tally.add(tally.Counted(), run(one(Outcome.PASSED, 0.5), one(Outcome.FAILED, 1000.0)))
    assert made.spread.buckets[tally.BOUNDS.index(0.5)] == 1
    assert made.spread.buckets[-1] == 1


def test_counts_do_not_fall_when_runs_leave_the_journal(tmp_path):
    journal = Journal(tmp_path)
    keep(journal, *(run(*MIXED) for _ in range(4)))
    assert counted(journal).failures == {"failed": 4, "error": 4}
    journal.forget(journal.leaving(count=1, age_s=inf, size_bytes=10**9, now=time.time()), time.time())
    assert len(journal.paths()) == 1
    assert counted(journal).failures == {"failed": 4, "error": 4}
    keep(journal, run(*MIXED))
    assert counted(Journal(tmp_path)).failures == {"failed": 5, "error": 5}  # in another process, too
    assert observing._tallied(journal, inf).counted == tuple(sorted(path.stem for path in journal.paths()))


def test_runs_that_prove_something_are_not_counted(tmp_path):
    journal = Journal(tmp_path)
    keep(journal, run(*MIXED), run(*MIXED, request=RunRequest(purpose="alone")))
    assert counted(journal).runs == {"failed": 1}


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b'{"counted":[],"spaces":{"local":{"runs":1}}}', b"\xff"])
def test_a_torn_tally_is_made_anew(tmp_path, torn):
    journal = Journal(tmp_path)
    keep(journal, run(*MIXED))
    whole = counted(journal)
    (tmp_path / "metrics.json").write_bytes(torn)
    assert counted(journal) == whole
    text = (tmp_path / "metrics.json").read_text().replace('"buckets":[', '"buckets":[1,')
    (tmp_path / "metrics.json").write_text(text)
    assert counted(journal) == whole


def test_a_run_that_cannot_be_read_is_passed_over(tmp_path):
    journal = Journal(tmp_path)
    keep(journal, run(*MIXED), run(*MIXED))
    Path(journal.paths()[0]).write_bytes(b"torn")
    assert counted(journal).runs == {"failed": 1}


def test_what_does_not_fit_the_time_is_counted_later(tmp_path):
    journal = Journal(tmp_path)
    keep(journal, run(*MIXED), run(*MIXED))
    assert observing._tallied(journal, 0.0).spaces == {}
    assert counted(journal).runs == {"failed": 2}
