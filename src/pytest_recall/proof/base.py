"""Does it fail at the base too? Just the failing tests, in a temporary work tree of the base revision."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from pytest_recall.errors import RecallError, listed, quoted
from pytest_recall.history.past import both
from pytest_recall.history.trend import causes_of
from pytest_recall.model import Failure, Run, Sample, Status
from pytest_recall.proof.bench import Bench, collected, named, place, steady, told
from pytest_recall.running import imported, revision, worktree
from pytest_recall.running.worktree import Refused, Worktree
from pytest_recall.workspace import Elsewhere

_CHECKOUT_S = 60.0


class There(StrEnum):
    """How a test that fails now ends at the base."""

    SAME = "fails with the same cause"
    OTHERWISE = "fails in another way"
    PASSES = "passes"
    MIXED = "fails and passes"
    MISSING = "does not exist"
    UNPROVEN = "could not be told"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtBase:
    """What the base says of tests."""

    found: Mapping[str, There]
    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    causes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # with which they failed
    commits: Mapping[str, str] = field(default_factory=dict)  # at which those were taken
    whole: Collection[str] = ()  # tests of which they were taken before all of the branch's changes
    failed: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # digests of where else they failed so
    remarks: tuple[str, ...] = ()  # what could not be proven, and why


async def at_base(bench: Bench, run: Run, tests: Sequence[str], *, times: int) -> AtBase:
    """Run *tests*, which failed in *run*, *times* times at the revision that *run*'s is based on.

    What fails at the commit under uncommitted changes as well may come from the commits before it: then it is run where
    the branch began. The user's work tree, index, branches and settings are not touched. What the base cannot prove is
    said in `remarks`: no git, modules that come from elsewhere all the same, tests that are new.
    """
    root = Path(run.target.root)
    try:
        commit = await run_sync(worktree.base, root, run.revision)
    except Refused as error:
        return _unproven("", tests, str(error))
    found = await _at(bench, run, commit, tests, times)
    if not run.revision.dirty:
        return replace(found, whole=frozenset(found.samples))
    red = [test for test in tests if found.found[test] is There.SAME]
    began = await run_sync(worktree.fork, root, commit) if red else ""
    if not began:
        return found
    first = await _at(bench, run, began, red, times)
    told_ = [test for test in red if first.found[test] in {There.SAME, There.PASSES}]
    mine = [test for test in told_ if first.found[test] is There.PASSES]
    remark = f"{listed(mine, most=3)}: red at {commit[:10]} too, so not from what is uncommitted, but from the commits since {began[:10]}."
    return AtBase(
        found={**found.found, **{test: first.found[test] for test in told_}},
        samples={**found.samples, **{test: first.samples[test] for test in told_}},
        causes={**found.causes, **{test: first.causes.get(test, ()) for test in told_}},
        commits={**found.commits, **dict.fromkeys(told_, began)},
        whole=told_,
        failed={test: tuple({s.revision for s in found.samples[test]}) for test in told_},
        remarks=(*found.remarks, *first.remarks, *((remark,) if mine else ())),
    )


async def _at(bench: Bench, run: Run, commit: str, tests: Sequence[str], times: int) -> AtBase:
    try:
        async with checked_out(bench, Path(run.target.root), commit) as tree:
            return await _Base(bench, run, tree, times).ask(tests)
    except (Refused, RecallError) as error:
        return _unproven(commit, tests, str(error))


@asynccontextmanager
async def checked_out(bench: Bench, root: Path, commit: str) -> AsyncIterator[Worktree]:
    stack = ExitStack()
    seconds = min(_CHECKOUT_S, bench.left())
    tree = worktree.checked_out(root, commit, bench.space.bases, seconds=seconds)
    try:
        # Abandoned halfway it would stay behind.
        with anyio.CancelScope(shield=True):
            entered = await run_sync(stack.enter_context, tree)
        yield entered
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(stack.close)


class _Base:
    """The base of one run, checked out."""

    def __init__(self, bench: Bench, run: Run, tree: Worktree, times: int) -> None:
        self._bench = bench
        self._run = run
        self._tree = tree
        self._times = times
        self._target = replace(run.target, root=str(tree.root), tried=())

    async def ask(self, tests: Sequence[str]) -> AtBase:
        """How *tests* end here. Raises Refused where nothing can be told."""
        tree = self._tree
        environ = await run_sync(imported.imports, self._target, tree, self._bench.space.environ)
        here = {place(test, self._run): test for test in tests}
        there = [path for path in here if (tree.root / path.partition("::")[0]).exists()]
        again = await self._executed(there, environ) if there else None
        broken: list[str] = []
        if again is not None and again.status is Status.USAGE_ERROR:
            there, broken = await self._existing(there, environ)
            again = await self._executed(there, environ) if there else None
        if there and again is None:
            raise Refused("no time was left")
        found = dict.fromkeys(here.values(), There.MISSING)
        samples: dict[str, tuple[Sample, ...]] = {}
        causes: dict[str, tuple[str, ...]] = {}
        if again is not None:
            outcomes = told(again)
            samples = {here[path]: outcomes[path] for path in there if path in outcomes}
            causes = _causes(again, here)
            misled = _misled(again, tree)
            found |= {here[path]: self._there(here[path], samples, causes, misled) for path in there}
        found |= {here[path]: There.UNPROVEN for path in broken}
        proven = {test: mine for test, mine in samples.items() if found[test] is not There.UNPROVEN}
        return AtBase(
            found=found,
            samples=proven,
            causes=causes,
            commits=dict.fromkeys(proven, tree.commit),
            remarks=_remarks(tree, found, again, {test: path for path, test in here.items()}),
        )

    async def _executed(self, paths: Sequence[str], environ: Mapping[str, str]) -> Run | None:
        request = replace(
            named(self._run, ()),
            tests=tuple(paths),
            args=(*steady(self._run.request.args), "--continue-on-collection-errors"),
            parallel=0,
            repeat=self._times,
            purpose="base",
        )
        sources = await run_sync(revision.revision, self._tree.root)
        note = f"Runs what failed in run {self._run.id} at its base {self._tree.commit[:10]}."
        there = Elsewhere(target=self._target, revision=sources, environ=environ)
        return await self._bench.run(request, note, there)

    async def _existing(
        self, paths: Sequence[str], environ: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        """Those of *paths* that pytest collects here (where one is missing, it runs none), and those it cannot."""
        discovery = await self._bench.discover(self._run, paths, target=self._target, environ=environ)
        known = collected(discovery)
        broken = {place(one.id, discovery) for one in discovery.collectors if one.outcome.bad}
        lost = [path for path in paths if path not in known and path.partition("::")[0] in broken]
        return [path for path in paths if path in known], lost

    def _there(
        self,
        test: str,
        samples: Mapping[str, tuple[Sample, ...]],
        causes: Mapping[str, tuple[str, ...]],
        misled: Collection[str],
    ) -> There:
        mine = samples.get(test, ())
        if not mine or place(test, self._run) in misled:
            return There.UNPROVEN
        if both(mine):
            return There.MIXED
        if not mine[0].outcome.bad:
            return There.PASSES
        now = {s.group for s in told(self._run).get(place(test, self._run), ()) if s.outcome.bad}
        now |= set(causes_of(self._run, {test})[test])
        return There.SAME if now & {*causes.get(test, ()), *(s.group for s in mine)} else There.OTHERWISE


def _causes(run: Run, here: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The causes with which tests failed in *run*, by the ids that they have *here*."""
    found = causes_of(run, {test.id for test in run.tests.others if test.outcome.bad})
    return {here[path]: causes for test, causes in found.items() if (path := place(test, run)) in here}


def _misled(run: Run, tree: Worktree) -> set[str]:
    """The tests of *run* that failed in a file of the user's work tree."""
    origin = os.path.realpath(tree.origin)
    return {
        place(test.id, run)
        for test in run.tests.others
        for attempt in test.attempts
        for failure in attempt.failures
        if _leads_to(failure, origin, os.path.realpath(tree.top))
    }


def _leads_to(failure: Failure, origin: str, top: str) -> bool:
    return any(
        os.path.isabs(frame.path)  # noqa: PTH117 - a foreign text, not a path of ours
        and "site-packages" not in frame.path
        and os.path.realpath(frame.path).startswith(origin + os.sep)
        and not os.path.realpath(frame.path).startswith(top + os.sep)
        for frame in failure.frames
    )


# --- words ----------------------------------------------------------------------------------


def _unproven(commit: str, tests: Sequence[str], why: str) -> AtBase:
    at = f" {commit[:10]}" if commit else ""
    return AtBase(
        found=dict.fromkeys(tests, There.UNPROVEN),
        remarks=(f"Whether it fails at the base{at} too could not be proven: {why.rstrip('.')}.",),
    )


def _remarks(
    tree: Worktree, found: Mapping[str, There], run: Run | None, places: Mapping[str, str]
) -> tuple[str, ...]:
    by = {there: [test for test, other in found.items() if other is there] for there in There}
    at = f"At the base {tree.commit[:10]}"
    remarks = []
    if missing := by[There.MISSING]:
        remarks.append(
            f"{at}, {_tests(missing)} not exist by that name: new, moved or renamed since, so nothing is compared."
        )
    if other := by[There.OTHERWISE]:
        how = _first(run, places[other[0]]) if run else ""
        remarks.append(f"{at}, {_tests(other)} fail in another way: {how}.{_lacks(tree)}")
    if mixed := by[There.MIXED]:
        remarks.append(f"{at}, {_tests(mixed)} both fail and pass.")
    if open_ := by[There.UNPROVEN]:
        why = f" (the run there: {run.status.value})" if run and run.status is not Status.FAILED else ""
        remarks.append(f"{at}, nothing could be proven of {listed(open_, most=3)}{why}.{_lacks(tree)}")
    return tuple(remarks)


def _tests(tests: Sequence[str]) -> str:
    return f"{listed(tests, most=3)} {'does' if len(tests) == 1 else 'do'}"


def _first(run: Run, path: str) -> str:
    failures = [f for test in run.tests.others if place(test.id, run) == path for f in test.failures]
    return quoted(f"{failures[0].exception}: {failures[0].message}"[:150]) if failures else "no details"


def _lacks(tree: Worktree) -> str:
    modules = " Submodules are empty there." if (tree.top / ".gitmodules").exists() else ""
    return f" Files that git does not track are missing there.{modules}"
