"""What to do about a run's failures: what is known around each cause, gathered for hints.

Advice is extra: whatever goes wrong in finding it costs the hints of one run, never its answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from pytest_recall import learning
from pytest_recall.history import fixes, hints, symptoms, trend
from pytest_recall.history.around import Around, Hint, Upgrade, said, upgrades
from pytest_recall.history.groups import Group
from pytest_recall.history.past import Past
from pytest_recall.history.patch import FileDiff
from pytest_recall.history.reach import modules_of, reach
from pytest_recall.model import (
    Change,
    Failure,
    Fingerprint,
    InternalError,
    NotStarted,
    Outcome,
    Run,
    RunRow,
    Sample,
    TestHistory,
)
from pytest_recall.running.declared import declared
from pytest_recall.workspace import Workspace

_SECONDS = 2.0  # for the hints of one run
_ADVISED = 8  # causes of one run that are looked into
_ROWS = 200  # runs back that the last pass is looked for in
_PATHS = 5_000  # modules of the project
_GREEN = frozenset({Outcome.PASSED, Outcome.XPASSED})
_thread = partial(run_sync, abandon_on_cancel=True)  # git may hang; the hints then do without
_OF_PROJECT = re.compile(r"No module named|fixture '|No such file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The hints of one run: of each cause, in their order, and of why there was no session."""

    causes: Sequence[tuple[Hint, ...]] = ()
    start: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Since:
    """What is another than in a run in which a cause's test passed."""

    row: RunRow
    upgrades: tuple[Upgrade, ...] = ()
    diff: Sequence[FileDiff] | None = None  # None: nobody knows


async def advise(
    space: Workspace,
    run: Run,
    causes: Sequence[Group],
    histories: Mapping[str, TestHistory],
    earlier: Run | None,
) -> Advice:
    """Hints for each of *causes*, by what their failures say, what was changed since, and what is installed."""
    found: list[tuple[Hint, ...]] = [() for _ in causes]
    start = _unstarted(run)
    if not causes and start is None:
        return Advice()
    looked = list(enumerate(causes[:_ADVISED]))
    try:
        with anyio.move_on_after(_SECONDS):
            words = [said(cause) for cause in (*causes[:_ADVISED], *((start,) if start else ()))]
            base = await _thread(_base, space, run, words)
            if start:
                return Advice(causes=found, start=hints.hints(start, base))
            for number, cause in looked:  # their own words first: that takes no time
                found[number] = hints.hints(cause, base)
            rows = {row.id: row for row in await space.store.runs(limit=_ROWS, before=run.id)}
            look = _Look(space, run, rows, earlier)
            for number, cause in looked:
                known = histories.get(cause.tests[0])
                found[number] = hints.hints(cause, await look.around(cause, known, base))
    except Exception:  # a hint lost is no reason to lose the answer
        space.log.exception("hints of run %s", run.id)
        return Advice(causes=found)
    return Advice(causes=found)


class _Look:
    """Around the causes of one run: what is alike for several of them is looked up once."""

    def __init__(self, space: Workspace, run: Run, rows: Mapping[str, RunRow], earlier: Run | None) -> None:
        self._space = space
        self._run = run
        self._root = Path(run.rootdir)
        self._row = trend.row(run)
        self._rows = rows  # of the runs before
        self._earlier = earlier
        self._since: dict[str, _Since] = {}
        self._sources: dict[str, str] | None = None

    async def around(self, cause: Group, known: TestHistory | None, base: Around) -> Around:
        if last := self._last_pass(cause.tests[0], known):
            since = await self._other(last)
            changes = None if since.diff is None else await _thread(self._scoped, cause, since.diff)
            base = replace(base, since=_told(since.row), upgrades=since.upgrades, changes=changes)
        streak = self._streak(cause, known)
        if len(streak) < hints.LOOP:
            return base
        diff = await self._diff(self._rows.get(streak[0].run))
        edited = None if diff is None else tuple(one.path for one in diff)
        return replace(base, streak=streak, edited=edited)

    def _last_pass(self, test: str, known: TestHistory | None) -> str:
        """The last run before this one in which the test passed; of a collector, had no error."""
        samples = known.samples if known else ()
        passed = [
            s.run for s in samples if s.run < self._run.id and s.outcome in _GREEN and s.run in self._rows
        ]
        if passed or self._earlier is None:
            return max(passed, default="")
        bad = {one.id for one in self._earlier.tests.others if one.outcome.bad}
        bad |= {one.id for one in self._earlier.collectors if one.outcome.bad}
        ran = any(test in (one, one.partition("::")[0]) for one in self._earlier.tests.ids)
        return self._earlier.id if ran and test not in bad and self._earlier.id in self._rows else ""

    async def _other(self, last: str) -> _Since:
        if last not in self._since:
            own = self._earlier if self._earlier is not None and self._earlier.id == last else None
            before = own or await self._space.store.run(last)
            self._since[last] = _Since(
                row=self._rows[last],
                upgrades=upgrades(before.environment, self._run.environment) if before else (),
                diff=await self._diff(self._rows[last]),
            )
        return self._since[last]

    async def _diff(self, before: RunRow | None) -> Sequence[FileDiff] | None:
        return await _thread(diff_between, self._space, self._root, before, self._row)

    def _scoped(self, cause: Group, diff: Sequence[FileDiff]) -> tuple[Change, ...]:
        if not diff:
            return ()
        if self._sources is None:
            self._sources = learning.read_sources(self._root, [one.path for one in diff if not one.deleted])
        test = cause.tests[0]
        frames = cause.failure.frames if cause.failure else ()
        reached = reach(test.partition("::")[0], self._sources)
        return fixes.scoped(diff, test, executed={frame.path for frame in frames}, reached=reached)

    def _streak(self, cause: Group, known: TestHistory | None) -> tuple[Sample, ...]:
        """The failures of the cause's first test with this fingerprint, up to this run."""
        test = cause.tests[0]
        now = trend.observed(self._run, self._row, {test}).get(test)
        if not now or not cause.fingerprint:
            return ()
        before = (
            replace(known, samples=tuple(s for s in known.samples if s.run < self._run.id)) if known else None
        )
        return tuple(s for s in Past(before, now).alike if s.space == self._run.space)


def diff_between(space: Workspace, root: Path, before: RunRow | None, after: RunRow) -> list[FileDiff] | None:
    """What was changed between two runs; None where nobody can say."""
    if before is None or not before.revision.digest:
        return None
    if before.revision.digest == after.revision.digest:
        return []
    return learning.changes_between(space, root, before, after) or None


# --- the project ----------------------------------------------------------------------------


def _base(space: Workspace, run: Run, words: Sequence[str]) -> Around:
    """What holds for every cause; the project's files are looked at only where a failure asks for something of them."""
    python = Path(run.target.python)
    root = space.root
    around = Around(
        python=str(python.relative_to(root)) if python.is_relative_to(root) else str(python),
        environment=run.environment,
    )
    if not any(_OF_PROJECT.search(one) for one in words):
        return around
    paths = [path for path, _ in zip(learning.python_files(root), range(_PATHS), strict=False)]
    modules = {name: path for name, path in modules_of(frozenset(paths)).items() if not name.startswith("/")}
    asked = [found[1] for one in words if (found := symptoms.FILE.search(one))]
    return replace(
        around,
        declared=declared(root),
        modules=modules,
        places={name: place for name in asked if (place := _place(root, name, paths))},
    )


def _place(root: Path, name: str, paths: Iterable[str]) -> str:
    """Where below the project a file of the relative path *name* is: beside one of its Python files."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return ""
    folders = dict.fromkeys(path.rpartition("/")[0] for path in paths)
    found = (Path(folder) / name for folder in list(folders)[:_ROWS] if folder)
    return next((path.as_posix() for path in found if (root / path).exists()), "")


def _unstarted(run: Run) -> Group | None:
    """Why there was no session, as a cause like any other."""
    last = run.terminations[-1] if run.terminations else None
    if not isinstance(last, NotStarted | InternalError):
        return None
    path = last.path if isinstance(last, NotStarted) else ""
    failure = Failure(
        phase="collect",
        exception="",
        message=last.message,
        fingerprint=Fingerprint(group="", strict="", loose=""),
    )
    return Group(fingerprint="", outcome=Outcome.ERROR, phase="collect", failure=failure, tests=(path,))


def _told(row: RunRow) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(row.started_at))
    return f"the run of {day}"
