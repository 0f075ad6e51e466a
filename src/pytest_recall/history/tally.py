"""What all runs add up to: counts that only rise, however many of the runs are kept.

Folding a run in is pure, and the same runs in any order give the same counts. Runs that we made to prove
something (reruns of a failure, the base revision) are nobody's and count nowhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_recall.history.trend import scope_digest
from pytest_recall.model import Outcome, Run, RunRequest, RunRow, Status

# Of single tests: from a unit test's microseconds to what a nightly job takes.
BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
FAILURES = ("failed", "error", "timed_out", "crashed", "collection_error")
TERMINATIONS = {
    Status.PASSED: "finished",
    Status.FAILED: "finished",
    Status.COLLECTION_FAILED: "collection_failed",
}
_RAN = frozenset({Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.XFAILED, Outcome.XPASSED})
_EVERYTHING = scope_digest(RunRequest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long tests took: a number for each of `BOUNDS` (not cumulative) and one beyond, and their sum."""

    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The counts of one space."""

    runs: dict[str, int] = field(default_factory=dict)  # by status
    tests: dict[str, int] = field(default_factory=dict)  # by outcome, the decisive one
    failures: dict[str, int] = field(default_factory=dict)  # by kind, see FAILURES
    spread: Spread = Spread()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of every space, and the ids of the runs in them that may still be met again."""

    counted: tuple[str, ...] = ()
    spaces: dict[str, Counted] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a project stands, for those who watch: its counts, the last runs, and what is wrong now."""

    project: str
    tally: Tally
    last: tuple[RunRow, ...] = ()  # the newest of each space and selection
    measured: tuple[RunRow, ...] = ()  # the newest of those that measured coverage
    verdicts: Mapping[str, int] | None = None  # tests by verdict; None: the index did not say
    failing: int = 0  # tests whose last outcome was bad


def add(counted: Counted, run: Run) -> Counted:
    """*counted* with *run* in it."""
    failures, tests, runs = dict(counted.failures), dict(counted.tests), dict(counted.runs)
    buckets, seconds = list(counted.spread.buckets), counted.spread.seconds
    _count(runs, run.status.value)
    for test in run.tests:
        outcome = test.outcome
        _count(tests, outcome.value)
        if outcome.value in FAILURES:
            _count(failures, outcome.value)
        for attempt in test.attempts:
            if attempt.outcome in _RAN:
                buckets[bisect_left(BOUNDS, attempt.duration_s)] += 1
                seconds += attempt.duration_s
    for collector in run.collectors:
        if collector.outcome.bad:
            _count(failures, "collection_error")
    return Counted(
        runs=runs, tests=tests, failures=failures, spread=Spread(buckets=tuple(buckets), seconds=seconds)
    )


def newest(rows: list[RunRow]) -> tuple[RunRow, ...]:
    """Of *rows*, newest first, the first of each space and selection; our own proofs are passed over."""
    found: dict[tuple[str, str], RunRow] = {}
    for row in rows:
        if not row.purpose:
            found.setdefault((row.space, selection(row)), row)
    return tuple(found.values())


def selection(row: RunRow) -> str:
    """`all` for a run of the whole suite as the project runs it, else `part`."""
    return "all" if row.scope == _EVERYTHING else "part"


def termination(status: str) -> str:
    """How a run of that status ended: a failing test is a result, and the run finished."""
    return TERMINATIONS.get(Status(status), status)


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
