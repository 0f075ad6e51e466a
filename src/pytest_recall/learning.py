"""What a run teaches beyond itself: which change made a failing test pass, and what was said about it since.

Learning follows a run that is kept already. Whatever goes wrong here costs a lesson, never an answer.
"""

from __future__ import annotations

import difflib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import anyio
from anyio.to_thread import run_sync

from pytest_recall.errors import BadRequest, RecallError, UnknownTest, listed, quoted
from pytest_recall.history import fixes, lines, reach, trend, written
from pytest_recall.history.groups import Group
from pytest_recall.history.patch import FileDiff, read_diff
from pytest_recall.model import (
    Change,
    Note,
    NoteKind,
    Outcome,
    Revision,
    Run,
    RunRow,
    Sample,
    TestHistory,
    Transition,
)
from pytest_recall.redact import redact
from pytest_recall.running import commits
from pytest_recall.store import lacking
from pytest_recall.store.ids import new_id
from pytest_recall.workspace import Workspace

TEXT = 4_000  # characters of a note

_SECONDS = 5.0  # for all that one run teaches
_READING = 0.3  # seconds for the project's sources
_SOURCES = 3_000  # files
_SOURCE = 200_000  # characters of one
_FLIPS = 200  # of one run
_OF_EACH = 20  # of one cause: what mended two hundred tests is known from a few
_RED_RUNS = 10  # whose tracebacks are looked at
_ROWS = 1_000  # runs that a flip is looked for in
_HUNKS = 60_000  # characters kept of one change, the nearest files first
_NO_SOURCES = frozenset({"node_modules", "site-packages", "build", "dist", "venv", "__pycache__"})
_ASKED = 20  # runs, and pairs of commits, that are looked at to tell which fixes a line of work has
_STANDING = {"confirmed": 0, "candidate": 1, "reverted": 2}


# --- from runs ------------------------------------------------------------------------------


async def learn(space: Workspace, run: Run) -> str:
    """Keep what *run*, itself kept already, shows of changes that mended something; why not, where it could not."""
    row = trend.row(run)
    if not trend.remembered(row) or row.purpose:
        return ""
    try:
        with anyio.move_on_after(_SECONDS) as limit:
            await _learn(space, run, row)
    except Exception as error:  # noqa: BLE001 - a lesson lost is no reason to lose the answer
        return f"What this run says of earlier changes was not kept: {type(error).__name__}: {error!s:.200}"
    if limit.cancelled_caught:
        return f"What this run says of earlier changes was not kept: it took more than {_SECONDS:g} s."
    return ""


async def weakened(space: Workspace, run: Run, tests: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Those of *tests* that pass in *run* only since they were weakened, by what was learnt of it; and how."""
    known = await space.store.transitions(tests=tests) if tests else []
    return {one.test: one.weakened for one in known if one.green_run == run.id and one.weakened}


async def _learn(space: Workspace, run: Run, row: RunRow) -> None:
    known = await space.store.tests()
    now = trend.observed(run, row, known.keys())
    was_red = [test for test in now if _ended_red(known[test], now[test][-1])][:_FLIPS]
    flips = _few_of_each(one for test in was_red if (one := fixes.flip(known[test], now[test])))
    before = await space.store.transitions(tests=list(now), limit=1_000) if now else []
    if not flips and not before:
        return
    rows = {row.id: row} | {each.id: each for each in await space.store.runs(limit=_ROWS)}
    frames = await _frames(space, flips)
    made = await run_sync(_made, space, run, flips, rows, frames, abandon_on_cancel=True) if flips else []
    moved = [
        new
        for one in before
        if one.test in now and (new := _moved(one, known[one.test], now[one.test], [*before, *made])) != one
    ]
    await run_sync(space.store.learn, [*made, *moved])


def _ended_red(history: TestHistory, here: Sample) -> bool:
    """Whether the test failed when it was last run before *here*, on its line of work: of many thousand tests, few did."""
    earlier = (s for s in reversed(history.samples) if s.run < here.run and s.outcome is not Outcome.XFAILED)
    last = lines.latest(earlier, here)
    return last is not None and last.outcome.bad


def _few_of_each(flips: Iterable[fixes.Flip]) -> list[fixes.Flip]:
    seen = Counter[str]()
    found = []
    for flip in flips:
        seen[flip.red[-1].group] += 1
        if seen[flip.red[-1].group] <= _OF_EACH:
            found.append(flip)
    return found


def _moved(
    one: Transition, known: TestHistory, now: Sequence[Sample], others: Sequence[Transition]
) -> Transition:
    history = trend.fold(known, one.test, now)
    later = [other for other in others if other.test == one.test]
    moved = fixes.advance(one, history, later)
    # Nobody saw what was changed, so nobody can say that it mended something.
    return one if moved.state == "confirmed" and not one.changes else moved


async def _frames(space: Workspace, flips: Sequence[fixes.Flip]) -> dict[str, frozenset[str]]:
    """By test of *flips*, the files in the tracebacks of its last failures, so far as those runs are kept."""
    found: dict[str, frozenset[str]] = {}
    red = {flip.test: flip.red[-1].run for flip in flips}
    for run_id in list(dict.fromkeys(red.values()))[:_RED_RUNS]:
        run = await space.store.run(run_id)
        if run is None:
            continue
        for test in run.tests.among([test for test, its in red.items() if its == run_id]):
            frames = [frame for failure in test.failures for frame in failure.frames]
            found[test.id] = frozenset(frame.path for frame in frames if frame.project)
    return found


def _made(
    space: Workspace,
    run: Run,
    flips: Sequence[fixes.Flip],
    rows: Mapping[str, RunRow],
    frames: Mapping[str, Collection[str]],
) -> list[Transition]:
    """The transitions of *flips*, each with what was changed on its way; *frames* by test, where it went wrong."""
    made: list[Transition] = []
    sources: dict[str, str] | None = None

    def red_run(flip: fixes.Flip) -> str:
        return flip.red[-1].run

    for red, ending in groupby(sorted(flips, key=red_run), key=red_run):
        before = rows.get(red)
        if before and not goes_on(Path(run.rootdir), before, rows[run.id]):
            continue
        change = changes_between(space, Path(run.rootdir), before, rows[run.id])
        meanwhile = [
            one for one in rows.values() if red <= one.id <= run.id and lines.same(one, rows[run.id])
        ]
        diff = _edited(Path(run.rootdir), change, meanwhile, run)
        if change and not diff:
            continue  # nobody did anything: a flake's flip
        if diff and sources is None:
            sources = read_sources(Path(run.rootdir), [one.path for one in diff if not one.deleted])
        for flip in ending:
            path = flip.test.partition("::")[0]
            reached = reach.reach(path, sources) if sources else frozenset[str]()
            ran = frames.get(flip.test, ())
            made.append(_bounded(fixes.transition(flip, diff, runs=rows, executed=ran, reached=reached)))
    return made


def _edited(root: Path, diff: Sequence[FileDiff], runs: Sequence[RunRow], run: Run) -> list[FileDiff]:
    """*diff* without the files that tests wrote themselves: no sources, and last written while one of *runs* went on."""
    kept = written.sources([one.path for one in diff], run.tests.ids)

    def by_tests(path: str) -> bool:
        try:
            at = (root / path).lstat().st_mtime
        except (OSError, ValueError):
            return False
        return any(row.started_at <= at <= row.started_at + row.duration_s for row in runs)

    return [one for one in diff if one.path in kept or not by_tests(one.path)]


def goes_on(root: Path, red: RunRow, green: RunRow) -> bool:
    """Whether the sources of *green* were made from those of *red*: another branch, or work tree, mends nothing."""
    if lines.goes_on(red, green):
        return True
    return lines.may_go_on(red, green) and commits.holds(root, red.revision.commit, green.revision.commit)


def changes_between(space: Workspace, root: Path, red: RunRow | None, green: RunRow) -> list[FileDiff]:
    """What was changed between two runs, with paths relative to pytest's rootdir; nothing where nobody knows."""
    if red is None:
        return []
    text = space.snapshots.diff(space.root, _tree(red.revision), _tree(green.revision))
    within = _within_repository(root)
    diff = read_diff(text)
    for one in diff:
        one.path = one.path.removeprefix(within)
    return diff


def _tree(revision: Revision) -> str:
    return revision.tree or ("" if revision.dirty else revision.commit)


def _within_repository(root: Path) -> str:
    """`packages/shop/` for a *root* that lies so in its repository, whose top git's paths begin at."""
    for parent in (root, *root.parents):
        if (parent / ".git").exists():
            inside = root.relative_to(parent).as_posix()
            return "" if inside == "." else f"{inside}/"
    return ""


def read_sources(root: Path, first: Iterable[str]) -> dict[str, str]:
    """The texts of the project's Python files, the changed ones first, as many as the time allows.

    A file that was not read is one that nobody imports: then the change is called farther than it is.
    """
    until = time.monotonic() + _READING
    found: dict[str, str] = {}
    for path in (*first, *python_files(root)):
        if time.monotonic() > until or len(found) >= _SOURCES:
            break
        if path.endswith(".py") and path not in found:
            try:
                with (root / path).open(encoding="utf-8", errors="replace") as file:
                    found[path] = file.read(_SOURCE)
            except OSError:
                continue
    return found


def python_files(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".") and name not in _NO_SOURCES]
        inside = PurePosixPath(Path(folder).relative_to(root).as_posix())
        yield from (str(inside / name) for name in files if name.endswith(".py"))


def _bounded(transition: Transition) -> Transition:
    """*transition* as it may be kept: without secrets, and no larger than a record."""
    room = _HUNKS
    changes: list[Change] = []
    for change in transition.changes:
        hunks = redact(change.hunks)[:room]
        room -= len(hunks)
        changes.append(replace(change, hunks=hunks))
    intents = tuple(redact(intent)[:500] for intent in transition.intents)
    return replace(transition, changes=tuple(changes), intents=intents)


# --- to answers -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What was learnt of the causes of one run."""

    fixes: Mapping[str, Transition]  # by fingerprint of the cause
    fixed: Mapping[
        str, float
    ]  # causes of which a test was mended for good on this line of work, and fails again; since when
    unmended: frozenset[str]  # causes that only ever went away when their test was changed, or elsewhere
    notes: Sequence[Note]  # about the run, its causes and their tests, the latest first

    def about(self, *names: str) -> tuple[Note, ...]:
        """The notes about one of these; those about a test are about each of its parameters too."""
        meant = {*names, *map(_plain, names)}
        return tuple(note for note in self.notes if note.about in meant)


async def recall(
    space: Workspace, run: Run, causes: Sequence[Group], histories: Mapping[str, TestHistory]
) -> Remembered:
    """What is known of *causes* of failure in *run*: how each was mended before, and what was said."""
    own = {name: frozenset(cause.tests) for cause in causes for name in cause.known_by}
    prints = list(own)
    tests = [test for cause in causes for test in cause.tests[:20]]
    known = await space.store.transitions(fingerprints=prints, limit=1_000) if prints else []
    about = [run.id, *prints, *tests, *(_plain(test) for test in tests)]
    by_print = _by_print(known)
    before = [one for one in known if one.test in own[one.fingerprint] and one.at < run.started_at]
    here = {test: now[-1] for test, now in trend.observed(run, trend.row(run), {*tests}).items()}
    had = await _had(space, before, histories, here)
    return Remembered(
        fixes={
            cause.fingerprint: best
            for cause in causes
            if (
                best := _best(
                    [one for name in cause.known_by for one in by_print[name]], own.get(cause.fingerprint, ())
                )
            )
        },
        fixed=fixes.confirmed(had),
        unmended=_unmended(before, had),
        notes=await said(space, list(dict.fromkeys(about))),
    )


async def mended(space: Workspace, fingerprints: Sequence[str]) -> dict[str, Transition]:
    """What mended these causes before, of those that were."""
    known = await space.store.transitions(fingerprints=fingerprints, limit=1_000) if fingerprints else []
    return {name: best for name, all_of_it in _by_print(known).items() if (best := _best(all_of_it))}


def _by_print(known: Iterable[Transition]) -> defaultdict[str, list[Transition]]:
    found: defaultdict[str, list[Transition]] = defaultdict(list)
    for one in known:
        found[one.fingerprint].append(one)
    return found


class Mended(NamedTuple):
    """Of the causes of one test's failures, those that were mended for good where it runs, and when; and those that never were."""

    fixed: Mapping[str, float]
    unmended: frozenset[str]


UNMENDED = Mended({}, frozenset())


async def mended_before(space: Workspace, histories: Iterable[TestHistory]) -> dict[str, Mended]:
    """By failing test what was mended before its last run, on the line of work of that."""
    failing = {one.id: one for one in histories if one.samples and one.samples[-1].outcome.bad}
    here = {test: one.samples[-1] for test, one in failing.items()}
    known = await space.store.transitions(tests=list(failing), limit=1_000) if failing else []
    known = [one for one in known if one.test in here and one.at < here[one.test].at]
    had = await _had(space, known, failing, here)
    return {
        test: Mended(fixes.confirmed(there), _unmended([one for one in known if one.test == test], there))
        for test in {one.test for one in known}
        for there in [[one for one in had if one.test == test]]
    }


def _unmended(known: Iterable[Transition], had: Iterable[Transition]) -> frozenset[str]:
    """The causes of *known* that only ever went away when their test was changed itself, or where it does not count: not in *had*."""
    mended = {one.fingerprint for one in had if fixes.mends(one)}
    return frozenset(one.fingerprint for one in known) - mended


async def _had(
    space: Workspace,
    known: Iterable[Transition],
    histories: Mapping[str, TestHistory],
    here: Mapping[str, Sample],
) -> list[Transition]:
    """Those of *known* that are in the past of the samples *here*, by test; git is asked where lines of work part."""
    ancestry = _Ancestry(space)
    found = []
    for one in known:
        history, now = histories.get(one.test), here.get(one.test)
        passed = fixes.passed(one, history)
        told = passed and now and history and lines.begun_at(passed[0], now, history.samples)
        if now is None or told or await ancestry.has(one, passed, now):
            found.append(one)
    return found


class _Ancestry:
    """Which commits lie in the past of which, as git tells; each is asked for once."""

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._revisions: dict[str, Revision | None] = {}  # by run
        self._held: dict[tuple[str, str], bool] = {}

    async def has(self, one: Transition, passed: Sequence[Sample], now: Sample) -> bool:
        """Whether a commit that has the change of *one*, or that *passed* since, is in the past of *now*; true where nobody knows."""
        here = await self._revision(now.run)
        if here is None or (not passed and here.branch == one.green.branch):
            return True
        clean = [sample for sample in passed if lines.committed(sample)]
        there = [one.green, *[await self._revision(sample.run) for sample in (*clean[:1], *clean[-1:])]]
        for commit in (one.commit, *(each.commit for each in there if each and not each.dirty)):
            if commit and await self._holds(commit, here.commit):
                return True
        return False

    async def _revision(self, run_id: str) -> Revision | None:
        if run_id not in self._revisions:
            run = await self._space.store.run(run_id) if len(self._revisions) < _ASKED else None
            self._revisions[run_id] = run.revision if run else None
        return self._revisions[run_id]

    async def _holds(self, commit: str, later: str) -> bool:
        asked = commit, later
        if asked not in self._held:
            few = len(self._held) < _ASKED
            self._held[asked] = few and await run_sync(commits.holds, self._space.root, *asked)
        return self._held[asked]


def _best(known: Sequence[Transition], own: Collection[str] = ()) -> Transition | None:
    """The one to show: a fix rather than a weakened test, of this very test rather than another, proven, late."""
    standing = [one for one in known if one.state in _STANDING]
    return min(
        standing,
        key=lambda one: (
            bool(one.weakened),
            one.test not in own,
            _STANDING[one.state],
            one.grade,
            not one.changes,
            -one.at,
        ),
        default=None,
    )


async def said(space: Workspace, about: Sequence[str]) -> list[Note]:
    """Notes about these, the latest first, each with how it worked where a later note on it tells."""
    notes = await space.store.notes(about)
    outcomes = (
        {one.about: one for one in reversed(await space.store.notes([note.id for note in notes]))}
        if notes
        else {}
    )
    return [replace(one, worked=outcomes[one.id].worked) if one.id in outcomes else one for one in notes]


async def transitions(
    space: Workspace, *, test: str = "", fingerprint: str = "", limit: int = 100
) -> list[Transition]:
    """The ways from red to green, the latest first; of one test, of one cause, or all."""
    found = await space.store.transitions(
        tests=[test] if test else None, fingerprints=[fingerprint] if fingerprint else None, limit=5_000
    )
    both = [one for one in found if test in ("", one.test) and fingerprint in ("", one.fingerprint)]
    return both[:limit]


# --- from people and agents -----------------------------------------------------------------


@lacking.told
async def note(
    space: Workspace, *, about: str, kind: NoteKind, text: str, worked: bool | None = None, author: str = ""
) -> Note:
    """Keep what somebody says about a run, a test, a cause of failure, or an earlier note.

    Raises:
        BadRequest: nothing has that name, or there is nothing to keep; with what there is.
    """
    if not text.strip() and worked is None:
        raise BadRequest("Nothing to keep: give a text, or with kind='outcome' whether it worked.")
    about = about.strip()
    if not await _exists(space, about):
        raise UnknownTest(await _what_there_is(space, about))
    made = Note(
        id=new_id(time.time),
        about=about,
        kind="outcome" if worked is not None and not text.strip() else kind,
        text=redact(text.strip()[: 2 * TEXT])[:TEXT],
        at=time.time(),
        author=author[:100],
        worked=worked,
    )
    await run_sync(space.store.note, made)
    return made


async def _exists(space: Workspace, about: str) -> bool:
    if not about:
        return False
    if about.startswith("fp1:"):
        return bool(await space.store.failures(fingerprints=[about], limit=1))
    if "::" in about or "/" in about or about.endswith(".py"):
        return about in await space.store.tests([about]) or about in await _seen(space)
    if await _run_exists(space, about):
        return True
    return any(one.id == about for one in await space.store.notes())


async def _run_exists(space: Workspace, run_id: str) -> bool:
    try:
        return await space.store.run(run_id) is not None
    except (RecallError, ValueError):
        return False


async def _seen(space: Workspace) -> set[str]:
    """Ids of the tests and test files of the last run, without parameters."""
    rows = await space.store.runs(limit=1, asked=True)
    run = await space.store.run(rows[0].id) if rows else None
    tests = run.tests.ids if run else ()
    collectors = [one.id for one in run.collectors] if run else []
    return {*tests, *map(_plain, tests), *(test.partition("::")[0] for test in tests), *collectors}


async def _what_there_is(space: Workspace, about: str) -> str:
    causes = await space.store.failures(limit=200)
    rows = await space.store.runs(limit=3, asked=True)
    tests = sorted({test for cause in causes for test in cause.tests} | await _seen(space))
    near = difflib.get_close_matches(about, tests, n=3, cutoff=0.3)
    return (
        f"Nothing is known about {quoted(about)}. A note is about a test id (nearest: {listed(near or tests, most=3)}), "
        f"a fingerprint (latest: {listed((cause.fingerprint for cause in causes), most=3)}), "
        f"or a run id (latest: {listed((row.id for row in rows), most=3)})."
    )


def _plain(test: str) -> str:
    return test.partition("[")[0]
