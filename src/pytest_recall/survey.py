"""Wide looks at the past: what runs of no evidence saw, the slowest tests, and how each space stands."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import get_args

from pytest_recall.history import odds, trend
from pytest_recall.model import Fate, RunRow, Sample, Space, TestHistory
from pytest_recall.workspace import Workspace

_RUNS = 60  # that durations are taken from
_ROWS = 200
_APART = 20


async def apart(space: Workspace, test_id: str) -> TestHistory | None:
    """What the newest run that is no evidence about single tests has seen of that test."""
    for row in await space.store.runs(limit=_APART):
        run = await space.store.run(row.id) if row.suspect else None
        if run is not None and (seen := trend.observed(run, row, {test_id}).get(test_id)):
            return trend.fold(None, test_id, seen)
    return None


# --- durations ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One run's passing tests and the seconds of their calls."""

    run: str
    environment: str
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """One test's usual duration, and whether it got slower."""

    id: str
    median_s: float
    runs: int
    slower: odds.Slower | None


async def slow(space: Workspace) -> list[Slow]:
    """The tests of the last run's environment: those that got slower first, then the slowest."""
    same = await timed(space, await space.store.runs(limit=_RUNS))
    fates = await space.store.fates()
    return slowest([present(one, fates) for one in same] if fates else same)


def present(one: Timed, fates: Mapping[str, Fate]) -> Timed:
    """The run with renamed tests under the ids that they have now, and without those that are gone."""
    at = int(one.run[:8] + one.run[9:13], 16) / 1000
    seconds: dict[str, float] = {}
    for test, took in one.seconds.items():
        fate = fates.get(test)
        name = fate.became if fate and at <= fate.at else test
        if name:
            seconds[name] = took
    return replace(one, seconds=seconds)


async def timed(space: Workspace, rows: Sequence[RunRow]) -> list[Timed]:
    """Those of the newest of *rows* (newest first) that can be compared: in one environment, the last one's; oldest first."""
    found = [await _timed(space, row) for row in reversed(rows[:_RUNS]) if not row.suspect]
    return [one for one in found if one.environment == found[-1].environment]


def slowest(same: Sequence[Timed]) -> list[Slow]:
    """The tests of these runs: those that got slower first, then the slowest."""
    series: dict[str, list[tuple[int, float]]] = {}
    for number, one in enumerate(same):
        for test_id, seconds in one.seconds.items():
            series.setdefault(test_id, []).append((number, seconds))
    usual = {test_id: median(seconds for _, seconds in found) for test_id, found in series.items()}
    noises = [odds.noise(one.seconds, usual) or 1.0 for one in same]
    found = [_slow(test_id, points, usual[test_id], noises) for test_id, points in series.items()]
    return sorted(found, key=lambda one: (one.slower is None, -one.median_s))


def _slow(test_id: str, points: Sequence[tuple[int, float]], usual: float, noises: Sequence[float]) -> Slow:
    even = [seconds / noises[number] for number, seconds in points]
    verdict = odds.slower(even[:-3], even[-3:])
    return Slow(id=test_id, median_s=usual, runs=len(points), slower=verdict)


async def _timed(space: Workspace, row: RunRow) -> Timed:
    known: Timed | None = space.timed.get(row.id)
    if known is not None:
        return known
    seconds = {sys.intern(test): took for test, took in (await space.store.seconds(row.id)).items()}
    found = Timed(run=row.id, environment=trend.without_seed(row.environment), seconds=seconds)
    space.timed[row.id] = found
    while len(space.timed) > _RUNS:
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
    rows = await space.store.runs(limit=_ROWS)
    histories = (await space.store.tests()).values()
    found = []
    for name in get_args(Space):
        here = [row for row in rows if row.space == name]
        if here:
            found.append(
                Stand(
                    space=name,
                    runs=len(here),
                    passed=sum(row.status == "passed" for row in here),
                    last=here[0],
                    fails_only_here=tuple(h.id for h in histories if _only(h, name)),
                )
            )
    return found


def _only(history: TestHistory, space: Space) -> bool:
    last: dict[Space, Sample] = {sample.space: sample for sample in history.samples}
    elsewhere = [sample for name, sample in last.items() if name != space]
    return (
        space in last
        and last[space].outcome.bad
        and bool(elsewhere)
        and not any(sample.outcome.bad for sample in elsewhere)
    )
