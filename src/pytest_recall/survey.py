"""Wide looks at the past: two runs side by side, the slowest tests, and the spaces beside each other."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pytest_recall.errors import UnknownRun, listed, quoted
from pytest_recall.history import compare as comparing
from pytest_recall.history import odds, trend
from pytest_recall.model import Environment, Outcome, Run, RunRow, Sample, Space, TestHistory
from pytest_recall.workspace import Workspace

SPACES: tuple[Space, ...] = ("local", "ci", "agent")
_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_RUNS = 60  # that durations are taken from
_ROWS = 200
_LEAST_PREFIX = 4


# --- two runs -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs and what differs from the first to the second."""

    before: Run
    after: Run
    difference: comparing.Difference
    environment: tuple[str, ...]  # what differs there, the likeliest cause first


async def compare(space: Workspace, after: str, before: str) -> Comparison:
    """Two runs, each named by run id, revision (its first digits) or space (its last run).

    Without *after* the last run; without *before* the last run that *after* can be compared with.

    Raises:
        UnknownRun: a name that fits no run, or nothing to compare with.
    """
    rows = await space.store.runs(limit=_ROWS)
    if not rows:
        raise UnknownRun("There are no runs to compare yet. Run tests first.")
    late = await _run(space, _named(after, rows) if after else rows[0])
    base = _named(before, rows) if before else comparing.comparable(late, rows)
    if base is None:
        raise UnknownRun(
            f"No earlier run of the same selection as {late.id}. Name one by base_run_id: "
            f"{listed((row.id for row in rows if row.id != late.id), most=3)}."
        )
    early = await _run(space, base)
    return Comparison(
        before=early,
        after=late,
        difference=comparing.compare(early, late),
        environment=differing(early.environment, late.environment),
    )


def _named(word: str, rows: Sequence[RunRow]) -> RunRow:
    fits = [row for row in rows if word in (row.id, row.space) or _of_revision(row, word)]
    if not fits and _RUN_ID.fullmatch(word):
        raise UnknownRun(f"No run {quoted(word)} among the last {_ROWS}. The latest: {rows[0].id}.")
    if not fits:
        raise UnknownRun(
            f"No run fits {quoted(word)}. Name a run id, a space ({', '.join(SPACES)}), or at least "
            f"{_LEAST_PREFIX} digits of a revision; the latest is {rows[0].revision.commit[:10] or rows[0].revision.digest[:10]}."
        )
    return next((row for row in fits if not row.suspect), fits[0])


def _of_revision(row: RunRow, word: str) -> bool:
    names = (row.revision.commit, row.revision.digest)
    return len(word) >= _LEAST_PREFIX and any(name.startswith(word) for name in names if name)


async def _run(space: Workspace, row: RunRow) -> Run:
    run = await space.store.run(row.id)
    if run is None:
        raise UnknownRun(f"Run {row.id} is known, but its results have left the retention.")
    return run


def differing(before: Environment, after: Environment) -> tuple[str, ...]:
    """What differs between two environments, in words: interpreter first, then pytest, plugins, machine, order."""
    fields = ("python", "pytest", "os", "arch", "workers", "seed")
    plain = {
        name: f"{name}: {getattr(before, name) or 'none'} → {getattr(after, name) or 'none'}"
        for name in fields
        if getattr(before, name) != getattr(after, name)
    }
    old, new = _versions(before.plugins), _versions(after.plugins)
    plugins = [
        f"{name}: {old.get(name, 'none')} → {new.get(name, 'none')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    ranked = [plain[name] for name in ("python", "pytest") if name in plain]
    ranked += plugins
    ranked += [plain[name] for name in ("os", "arch", "workers", "seed") if name in plain]
    if not ranked and before.distributions != after.distributions:
        ranked.append("the installed distributions differ")
    return tuple(ranked)


def _versions(plugins: Sequence[str]) -> dict[str, str]:
    return {name: version for name, _, version in (plugin.rpartition("-") for plugin in plugins)}


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
    return slowest(await timed(space, await space.store.runs(limit=_RUNS)))


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
    run = await space.store.run(row.id)
    seconds = {
        sys.intern(test.id): test.attempts[-1].call_s
        for test in (run.tests if run else ())
        if test.outcome is Outcome.PASSED
    }
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
    for name in SPACES:
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
