"""Wide looks at the past: what runs of no evidence saw, the slowest tests, and how each space stands."""

from __future__ import annotations

import difflib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from statistics import median
from typing import get_args

from pytest_recall.errors import UnknownTest, listed, quoted
from pytest_recall.history import durations, odds, trend
from pytest_recall.history.durations import Seconds
from pytest_recall.model import Fate, RunRow, Sample, Space, TestHistory
from pytest_recall.workspace import Workspace

RUNS = 60  # that durations are taken from
_SECONDS = 5_000_000  # durations that are looked at, of all these runs: of 200,000 tests, 25 runs
_KEPT = 400_000  # of them that are kept at hand
MOST = 1_000  # runs of one space that are counted
_APART = 20


async def apart(space: Workspace, test_id: str) -> TestHistory | None:
    """What the newest run that is no evidence about single tests has seen of that test."""
    for row in await space.store.runs(limit=_APART, asked=True):
        run = await space.store.run(row.id) if row.suspect else None
        if run is not None and (seen := trend.observed(run, row, {test_id}).get(test_id)):
            return trend.fold(None, test_id, seen)
    return None


async def unknown(space: Workspace, test_id: str) -> UnknownTest:
    """That no run has seen that test; with the nearest ids of the last run."""
    last = await space.store.runs(limit=1, asked=True)
    run = await space.store.run(last[0].id) if last else None
    near = difflib.get_close_matches(test_id, run.tests.ids if run else (), n=3, cutoff=0.3)
    return UnknownTest(f"No run has seen the test {quoted(test_id)}. Nearest: {listed(near)}.")


# --- durations ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One run's passing tests and the seconds of their calls."""

    run: str
    environment: str
    seconds: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """One test's usual duration, and whether it got slower."""

    id: str
    median_s: float
    runs: int
    slower: odds.Slower | None


async def slow(
    space: Workspace, rows: Sequence[RunRow], *, quick_s: float, least: int
) -> tuple[list[Slow], int, int]:
    """The tests of runs in one environment: those that got slower first, then the slowest.

    And how many took less than *quick_s*: of these only so many are told that there are *least*. And how many runs
    were in other environments.
    """
    looked_at = await _looked_at(space, rows)
    same = _comparable(looked_at)
    fates = await space.store.fates()
    same = [present(one, fates) for one in same] if fates else same
    key = [(one.run, len(one.seconds.ids)) for one in same], len(looked_at), quick_s, least, fates
    if space.slow[0] != key:
        space.slow = key, _slow(same, quick_s, least)
    found, quick = space.slow[1]
    return found, quick, len(looked_at) - len(same)


def _slow(same: Sequence[Timed], quick_s: float, least: int) -> tuple[list[Slow], int]:
    found, quick, left = [], [], 0
    for one in _each(same):
        if one.slower or one.median_s >= quick_s:
            found.append(one)
        else:
            left += 1
            quick.append(one)
            if len(quick) > 2 * least:  # of many thousand only the slowest are held
                quick = _ordered(quick)[:least]
    more = _ordered(quick)[: max(least - len(found), 0)]
    return _ordered([*found, *more]), left - len(more)


def present(one: Timed, fates: Mapping[str, Fate]) -> Timed:
    """The run with renamed tests under the ids that they have now, and without those that are gone."""
    at = int(one.run[:8] + one.run[9:13], 16) / 1000
    if not any(test in fates for test in one.seconds.ids):
        return one

    def name(test: str) -> str:
        fate = fates.get(test)
        return fate.became if fate and at <= fate.at else test

    return replace(one, seconds=one.seconds.renamed(name))


async def timed(space: Workspace, rows: Sequence[RunRow]) -> list[Timed]:
    """Those of the newest of *rows* (newest first) that can be compared, oldest first."""
    return _comparable(await _looked_at(space, rows))


async def _looked_at(space: Workspace, rows: Sequence[RunRow]) -> list[Timed]:
    found: list[Timed] = []
    room = _SECONDS
    for row in rows[:RUNS]:
        if not row.suspect and room > 0:
            found.append(await _timed(space, row))
            room -= len(found[-1].seconds.ids)
    return found


def _comparable(found: Sequence[Timed]) -> list[Timed]:
    """The runs in one environment, oldest first: that of the last wide one. A test tried with an option of its own hides none."""
    most = max((len(one.seconds.ids) for one in found), default=0)
    wide = next((one for one in found if 2 * len(one.seconds.ids) >= most), None)
    return [one for one in reversed(found) if wide and one.environment == wide.environment]


def slowest(same: Sequence[Timed]) -> list[Slow]:
    """The tests of these runs: those that got slower first, then the slowest."""
    return _ordered(_each(same))


def _ordered(found: Iterable[Slow]) -> list[Slow]:
    return sorted(found, key=lambda one: (one.slower is None, -one.median_s))


def _each(same: Sequence[Timed]) -> Iterator[Slow]:
    """Every test that passed in one of these runs."""
    ids, columns = durations.beside([one.seconds for one in same])
    usual = array("d", [_median(row) for row in zip(*columns, strict=True)])
    noises = [odds.noise(column, usual) or 1.0 for column in columns]
    for test, median_s, row in zip(ids, usual, zip(*columns, strict=True), strict=True):
        even = [seconds / noise for seconds, noise in zip(row, noises, strict=True) if not isnan(seconds)]
        if even:
            yield Slow(id=test, median_s=median_s, runs=len(even), slower=odds.slower(even[:-3], even[-3:]))


def _median(row: Sequence[float]) -> float:
    there = [seconds for seconds in row if not isnan(seconds)]
    return median(there) if there else nan


async def _timed(space: Workspace, row: RunRow) -> Timed:
    known: Timed | None = space.timed.get(row.id)
    if known is not None:
        return known
    seconds = await space.store.seconds(row.id)
    found = Timed(run=row.id, environment=trend.without_seed(row.environment), seconds=seconds)
    space.timed[row.id] = found
    while len(space.timed) > RUNS or sum(len(one.seconds.ids) for one in space.timed.values()) > _KEPT:
        del space.timed[next(iter(space.timed))]
    return found


# --- spaces ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How one space stands."""

    space: Space
    runs: int
    passed: int
    last: RunRow
    fails_only_here: tuple[str, ...]


async def spaces(space: Workspace) -> list[Stand]:
    """The spaces that have runs, and for each the tests whose last outcome is bad there and good elsewhere."""
    histories = (await space.store.tests()).values()
    there = {name: await space.store.runs(limit=MOST, space=name, asked=True) for name in get_args(Space)}
    return [
        Stand(
            space=name,
            runs=len(rows),
            passed=sum(row.status == "passed" for row in rows),
            last=rows[0],
            fails_only_here=tuple(h.id for h in histories if _only(h, name)),
        )
        for name, rows in there.items()
        if rows
    ]


def _only(history: TestHistory, space: Space) -> bool:
    last: dict[Space, Sample] = {sample.space: sample for sample in history.samples}
    elsewhere = [sample for name, sample in last.items() if name != space]
    return (
        space in last
        and last[space].outcome.bad
        and bool(elsewhere)
        and not any(sample.outcome.bad for sample in elsewhere)
    )
