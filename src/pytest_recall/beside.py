"""Two runs, two revisions or two spaces beside each other: what only one of them shows, and what may explain it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from pytest_recall.errors import UnknownRun, listed, quoted
from pytest_recall.history import beside, trend
from pytest_recall.history import compare as comparing
from pytest_recall.model import Failure, Run, RunRow, Space
from pytest_recall.workspace import Workspace

SPACES: tuple[Space, ...] = get_args(Space)

_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_ROWS = 1_000  # in which a revision is looked for; two spaces may not have met for a while
_LIKE = 50  # of one selection
_JOINED = 24  # runs of one space on one revision
_LEAST_PREFIX = 4
_FAILURES = 200  # that are looked at for what they went through


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs and what differs from the first to the second; of two spaces each is what all its runs say together."""

    before: Run
    after: Run
    difference: comparing.Difference
    environment: tuple[str, ...]  # what differs there, the likeliest cause first
    remarks: tuple[str, ...] = ()  # how far the two can be compared


async def compare(space: Workspace, after: str, before: str) -> Comparison:
    """Two runs, each named by run id, revision (its first digits) or space (its last run).

    Without *after* the last run; without *before* the last run that *after* can be compared with. Two
    spaces are joined on the newest revision that was run in both.

    Raises:
        UnknownRun: a name that fits no run, or nothing to compare with.
    """
    if after in SPACES and before in SPACES and after != before:
        return await _spaces(space, after, before)
    late = await _named(space, after)
    early = await _named(space, before) if before else await _before(space, late)
    difference = comparing.compare(early, late)
    failing = frozenset((*difference.newly_failing, *difference.still_failing))
    return Comparison(
        before=early,
        after=late,
        difference=difference,
        environment=beside.differing(
            early.environment, late.environment, list(_failures(late, failing))[:_FAILURES]
        ),
    )


# --- spaces ---------------------------------------------------------------------------------


async def _spaces(space: Workspace, after: str, before: str) -> Comparison:
    sides = [await space.store.runs(limit=_ROWS, space=name, asked=True) for name in (before, after)]
    for name, rows in zip((before, after), sides, strict=True):
        if not rows:
            raise _nowhere(name)
    old, new, remark = _met(sides[0], sides[1])
    early, late = [[await _run(space, row) for row in rows[:_JOINED]] for rows in (old, new)]
    one, other = beside.joined(early), beside.joined(late)
    difference = comparing.compare(one, other)
    only = difference.newly_failing or difference.newly_passing
    there = beside.telling(late, only, bad=bool(difference.newly_failing))
    here = beside.telling(early, only, bad=not difference.newly_failing)
    failures = [*_failures(there, frozenset(only)), *_failures(here, frozenset(only))]
    runs = "1 run" if len(late) == 1 else f"{len(late)} runs"
    counted = f"{runs} of {after} and {len(early)} of {before} joined by test"
    return Comparison(
        before=here,
        after=there,
        difference=difference,
        environment=beside.differing(here.environment, there.environment, failures[:_FAILURES]),
        remarks=(f"{counted}{remark}", *_untold(before, here), *_untold(after, there)),
    )


def _met(old: Sequence[RunRow], new: Sequence[RunRow]) -> tuple[Sequence[RunRow], Sequence[RunRow], str]:
    """The runs of both on the newest revision that both ran; else on the same commit; else the last of each."""
    for key, remark in ((_digest, "."), (_commit, _SAME_COMMIT)):
        both = {key(row) for row in old} & {key(row) for row in new} - {""}
        if both:
            last = max(
                both,
                key=lambda one: min(
                    max(row.started_at for row in rows if key(row) == one) for rows in (old, new)
                ),
            )
            return (
                [row for row in old if key(row) == last],
                [row for row in new if key(row) == last],
                remark,
            )
    return old[:1], new[:1], _NEVER_MET


_SAME_COMMIT = ", on one commit: one of them with changes that were not committed, or merged into its base."
_NEVER_MET = (
    ": no revision was run in both, so what differs may come from the sources. Run the commit that CI ran."
)


def _digest(row: RunRow) -> str:
    return row.revision.digest


def _commit(row: RunRow) -> str:
    return row.revision.commit


def _untold(name: str, run: Run) -> Iterator[str]:
    if not run.environment.packages:
        yield f"What was installed in {name} is not told by {run.source}."


def _failures(run: Run, tests: frozenset[str]) -> Iterator[Failure]:
    for test in run.tests.others:
        if test.id in tests:
            yield from test.failures
    for one in run.collectors:
        if one.id in tests and one.failure:
            yield one.failure


# --- single runs ----------------------------------------------------------------------------


async def _named(space: Workspace, word: str) -> Run:
    """The run that *word* names; the last one that somebody asked for, where it names none."""
    if _RUN_ID.fullmatch(word):
        run = await space.store.run(word, patient=True)
        if run is None:
            raise UnknownRun(f"No run {quoted(word)} is kept.{await _latest(space)}")
        return run
    where = word if word in SPACES else ""
    rows = await space.store.runs(limit=_ROWS if word else 1, space=where, asked=True)
    fits = rows if where or not word else [row for row in rows if _begins(row, word)]
    if not fits:
        raise _nowhere(where) if where or not rows else await _unfit(space, word)
    return await _run(space, next((row for row in fits if not row.suspect), fits[0]))


async def _before(space: Workspace, late: Run) -> Run:
    """The last run that *late* can be compared with."""
    scope = trend.row(late).scope
    rows = await space.store.runs(limit=_LIKE, scope=scope, before=late.id, asked=True)
    base = comparing.comparable(late, rows)
    if base is None:
        raise UnknownRun(
            f"No earlier run of the same selection as {late.id}. Name one by base_run_id.{await _latest(space, late.id)}"
        )
    return await _run(space, base)


def _nowhere(space: str) -> UnknownRun:
    if not space:
        return UnknownRun("There are no runs to compare yet. Run tests first.")
    return UnknownRun(f"There are no runs in the space {space!r} yet. view='spaces' lists what there is.")


async def _unfit(space: Workspace, word: str) -> UnknownRun:
    return UnknownRun(
        f"No run fits {quoted(word)}. Name a run id, a space ({', '.join(SPACES)}), or at least "
        f"{_LEAST_PREFIX} digits of a revision.{await _latest(space)}"
    )


async def _latest(space: Workspace, but: str = "") -> str:
    rows = await space.store.runs(limit=4, asked=True)
    return f" The latest: {listed([row.id for row in rows if row.id != but][:3])}."


def _begins(row: RunRow, word: str) -> bool:
    names = (row.revision.commit, row.revision.digest)
    return len(word) >= _LEAST_PREFIX and any(name.startswith(word) for name in names if name)


async def _run(space: Workspace, row: RunRow) -> Run:
    run = await space.store.run(row.id)
    if run is None:
        raise UnknownRun(f"Run {row.id} is known, but its results have left the retention.")
    return run
