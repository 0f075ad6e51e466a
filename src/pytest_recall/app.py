"""The use cases, each told in one place: discover, run, look back. The doors translate and call these."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import anyio
from anyio.to_thread import run_sync

from pytest_recall import failing, learning, resembling, strangers, survey, unfound
from pytest_recall.config import Settings
from pytest_recall.errors import NothingToRun, RecallError, UnknownRun, quoted
from pytest_recall.history import similar, trend, verdict
from pytest_recall.history.proof import NOTHING
from pytest_recall.jobs import Job, Jobs
from pytest_recall.judging import Judged, judged
from pytest_recall.meaning import Report, explain
from pytest_recall.model import (
    Attempt,
    Discovery,
    Entry,
    FailureHistory,
    Pipeline,
    Progress,
    Run,
    RunFiles,
    RunRequest,
    RunRow,
    Space,
    Status,
    Target,
)
from pytest_recall.proof import Bench, Proven, kept
from pytest_recall.proof import confirm as confirmed
from pytest_recall.proof import verify as verified
from pytest_recall.redact import redact
from pytest_recall.running import command, revision, runner, worktree
from pytest_recall.running import target as targets
from pytest_recall.store import lacking, shape
from pytest_recall.workspace import Workspace, Workspaces

if TYPE_CHECKING:  # what only the command line's `import` and `export` need is imported by them
    from pytest_recall import moving
    from pytest_recall.exports import formats
    from pytest_recall.imports.sources import Document, Refused

_SUSPECT = frozenset(
    {verdict.Verdict.FLAKY, verdict.Verdict.SUSPECTED_FLAKY, verdict.Verdict.ORDER_DEPENDENT}
)
_APART = verdict.Judgement(
    verdict=verdict.Verdict.NOT_ENOUGH_EVIDENCE,
    evidence="seen only in a run that was cut short, or broken as a whole",
    action="Run it alone.",
)
VERIFIED = 20  # tests that one `verify` reruns
_HAND_ON_S = 15.0  # for a server that takes in nothing: the runs are safe where they are
_INGEST_S = 10.0  # for another process that is taking in the inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who asks: decides the space of a run and is kept with it."""

    space: Space
    source: str
    client: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A discovery, and whether it was answered from an unchanged tree's earlier one."""

    discovery: Discovery
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Suspects after their reruns."""

    tests: tuple[Judged, ...]
    remarks: tuple[str, ...] = ()  # what could not be proven, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A project's memory at a glance."""

    project: str
    runs: tuple[RunRow, ...]  # newest first
    failing: tuple[Judged, ...]  # last outcome bad
    flaky: tuple[Judged, ...]  # the likeliest to fail first
    causes: tuple[FailureHistory, ...]  # latest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything that a run of a project needs, as it was found."""

    root: Path
    settings: Settings
    target: Target | RecallError
    discovery: Discovery | RecallError | None
    folder: Path
    backend: str
    stored: Mapping[str, int]
    troubles: tuple[str, ...]
    last: Run | None
    git: str = ""  # why it tells nothing, where there is a repository


class App:
    """One process's use cases over any number of projects. Entering it starts nothing slow."""

    def __init__(self, *, flags: Mapping[str, Any], environ: Mapping[str, str], default: Path) -> None:
        self._environ = environ
        self.workspaces = Workspaces(flags, environ, default, learn=_learn)
        self._closing = AsyncExitStack()
        self._discovered: dict[object, Discovery] = {}

    async def __aenter__(self) -> Self:
        await self._closing.enter_async_context(self.workspaces)
        tasks = await self._closing.enter_async_context(anyio.create_task_group())
        self.jobs: Jobs[Report] = Jobs(tasks, at_once=self.workspaces.runs_at_once, weigh=Report.weight)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        await self.jobs.end(2.0)
        return await self._closing.__aexit__(kind, error, trace)

    # --- discover ---------------------------------------------------------------------------

    async def discover(self, project: str, request: RunRequest, *, full: bool = False) -> Found:
        """What pytest would collect, once it is its turn; of an unchanged tree, what it did last time."""
        space = await self.workspaces.get(project)
        if request.tests:
            request = command.by_module(request, await run_sync(space.target))
        command.check(request, space.root, allow_any_args=space.settings.allow_any_args)
        async with self.jobs.turn():
            return await self._discover(space, request, full=full)

    async def _discover(self, space: Workspace, request: RunRequest, *, full: bool = False) -> Found:
        """The same within a job, which has its turn already."""
        target = await run_sync(space.target)
        tree = await run_sync(revision.revision, space.root)
        installed = await run_sync(targets.installed, target.python)
        key = (target, installed, request, full, tree)
        if (known := self._discovered.get(key)) is not None:
            return Found(discovery=known, cached=True)
        discovery = await runner.discover(
            request,
            target,
            detail="full" if full else "names",
            timeout_s=request.timeout_s,
            spool=space.spool,
            cache_dir=space.cache_dir,
            environ=space.environ,
            allow_any_args=space.settings.allow_any_args,
        )
        if discovery.status is Status.PASSED and tree.known:
            self._discovered = dict(list(self._discovered.items())[-7:]) | {key: discovery}
        return Found(discovery=discovery)

    # --- run --------------------------------------------------------------------------------

    async def start(
        self, project: str, request: RunRequest, origin: Origin, *, confirm: int = 0
    ) -> tuple[Job[Report], bool]:
        """Start a run, or join the identical one that is under way; tells whether it joined."""
        space = await self.workspaces.get(project)
        command.check(request, space.root, allow_any_args=space.settings.allow_any_args)
        request = dataclasses.replace(request, intent=redact(request.intent))
        work = partial(self._run, space, request, origin, confirm)
        run_id = await run_sync(space.store.journal.new_id)
        return self.jobs.start(run_id, (space.root, request, confirm), work)

    @lacking.told
    async def report(self, project: str, run_id: str, *, patient: bool = False) -> Report:
        """A finished run and what it means now; *patient*: a cold index is waited for.

        Raises:
            UnknownRun: no run has that id, or a run that is still going on has it.
        """
        space = await self.workspaces.holding(project, run_id)
        run = await space.known(run_id)
        return await explain(space, run, patient=patient)

    async def files(self, project: str, run_id: str) -> RunFiles:
        """Output and JSON report of a run. Raises UnknownRun where neither was kept."""
        space = await self.workspaces.holding(project, run_id)
        files = await run_sync(space.store.files, run_id)
        if files is None:
            raise UnknownRun(
                f"Nothing is kept beside run {quoted(run_id)}: no such run, or it left the retention."
            )
        return files

    async def _run(
        self, space: Workspace, request: RunRequest, origin: Origin, confirm: int, job: Job[Report]
    ) -> Report:
        if origin.space == "agent":  # a server stays, a command does not wait for likeness
            space.store.wake()
        chosen = await self._narrow(space, request, origin)
        ours = chosen.tests if chosen is not request else ()
        run = await self._execute(space, chosen, origin, job, keeps=None if not ours else _began)
        if run.status is Status.USAGE_ERROR and chosen.tests:
            there = await self._discover(space, unfound.files(chosen), full=bool(ours))
            if ours:
                chosen, note = unfound.rest(chosen, there.discovery)
                run = await self._execute(space, chosen, origin, job, note=note)
            else:
                unfound.teach(chosen, there.discovery)
        if confirm and not job.stop.is_set():
            await self._confirm(space, run, origin, confirm, job)
        from pytest_recall import observing, suggestions

        if trouble := await observing.after_run(space):  # what was proven is in the metrics, too
            run = dataclasses.replace(run, notes=(*run.notes, trouble))
        report = await explain(space, run)
        await suggestions.remember(space, run, [(one.group.fingerprint, one.hints) for one in report.groups])
        return report

    async def _confirm(
        self, space: Workspace, run: Run, origin: Origin, times: int, job: Job[Report]
    ) -> None:
        until = anyio.current_time() + run.request.timeout_s - run.duration_s
        bench = Bench(space, origin, until=until, confirms=run, on_progress=_teller(job), stop=job.stop)
        await kept.keep(space, run.id, await confirmed(bench, run, times))

    async def _execute(
        self, space: Workspace, request: RunRequest, origin: Origin, job: Job[Report], **how: Any
    ) -> Run:
        run = await space.run(request, origin, run_id=job.id, on_progress=_teller(job), stop=job.stop, **how)
        trouble = await learning.learn(space, run)
        return dataclasses.replace(run, notes=(*run.notes, trouble)) if trouble else run

    @lacking.told
    async def _narrow(self, space: Workspace, request: RunRequest, origin: Origin) -> RunRequest:
        """*request* with `only` turned into test ids.

        Raises:
            NothingToRun: nothing is left to run, with the reason.
        """
        if request.only == "all":
            return request
        if request.only == "affected":
            from pytest_recall.affected import affected

            return dataclasses.replace(request, tests=await affected(space, origin), only="all")
        if request.only == "failed":
            ids = await failing.failing(space, origin)
            if not ids:
                raise NothingToRun(
                    "No test is recorded as failing here, in this folder and on this branch. Run with only='all'."
                )
        else:
            discovery = (await self._discover(space, dataclasses.replace(request, only="all"))).discovery
            seen = {
                test.id.partition("[")[0]
                for row in await space.store.runs(limit=20, asked=True)
                for test in getattr(await space.store.run(row.id), "tests", ())
            }
            ids = [function.id for function in discovery.functions if function.id not in seen]
            if not ids:
                raise NothingToRun("Every collected test has been run before. Run with only='all'.")
        return dataclasses.replace(request, tests=tuple(sorted(ids)), only="all")

    # --- look back --------------------------------------------------------------------------

    async def summary(self, project: str) -> Summary:
        """What is known of a project: its last runs, what fails now, what is flaky."""
        space = await self.workspaces.get(project)
        rows = await space.store.runs(limit=20, asked=True)
        known = [
            history
            for history in (await space.store.tests()).values()
            if history.samples and not history.gone
        ]
        every = await judged(space, known)
        flaky = [one for one in every if one.judgement.verdict is verdict.Verdict.FLAKY]
        return Summary(
            project=str(space.root),
            runs=tuple(rows),
            failing=tuple(one for one in every if one.history.samples[-1].outcome.bad),
            flaky=tuple(_ranked(flaky)),
            causes=tuple(await space.store.failures(limit=200)),
        )

    async def verify(
        self, project: str, origin: Origin, *, tests: Sequence[str] = (), times: int, timeout_s: float
    ) -> Verified:
        """Rerun *tests*, or else all that are or may be flaky, *times* times each, and judge them anew.

        At most 20 tests, and no longer than *timeout_s*; every rerun is kept as a run.

        Raises:
            UnknownTest: no run has seen one of *tests*.
        """
        space = await self.workspaces.get(project)
        asked = [await self.test(project, test) for test in tests] or await self._suspects(space)
        bench = Bench(space, origin, until=anyio.current_time() + timeout_s)
        proven = await verified(bench, [one.history for one in asked[:VERIFIED]], times)
        for one in asked[:VERIFIED]:
            if (proof := proven.proofs.get(one.history.id)) and one.history.samples:
                await kept.keep(space, one.history.samples[-1].run, Proven(proofs={one.history.id: proof}))
        again = [
            Judged(history=history, judgement=verdict.judge(history, proof=proof))
            for one in asked[:VERIFIED]
            for proof in [proven.proofs.get(one.history.id, NOTHING)]
            for history in [trend.fold(one.history, one.history.id, (*proof.again, *proof.alone))]
        ]
        return Verified(tests=tuple(again), remarks=proven.remarks)

    async def _suspects(self, space: Workspace) -> list[Judged]:
        """The tests that are or may be flaky, the likeliest to fail first."""
        known = [h for h in (await space.store.tests()).values() if h.samples and not h.gone]
        return _ranked(one for one in await judged(space, known) if one.judgement.verdict in _SUSPECT)

    async def runs(self, project: str, **filters: Any) -> list[RunRow]:
        """Past runs, newest first; `filters` are the store's."""
        return await (await self.workspaces.get(project)).store.runs(**filters)

    async def told(self, project: str, test_id: str, run_id: str) -> tuple[Attempt | None, tuple[Entry, ...]]:
        """The attempt that decided that test in that run, and what was told around all of its tests."""
        space = await self.workspaces.get(project)
        run = await space.store.run(run_id)
        found = next(run.tests.among([test_id]), None) if run else None
        return (found.decisive, run.context) if run and found else (None, ())

    @lacking.told
    async def test(self, project: str, test_id: str) -> Judged:
        """What is known of one test, and what that says.

        Raises:
            UnknownTest: no run has seen it; names the nearest tests that runs have seen.
        """
        space = await self.workspaces.get(project)
        history = (await space.store.tests([test_id])).get(test_id)
        if history is None and (history := await survey.apart(space, test_id)):
            return Judged(history=history, judgement=_APART)
        if history is None:
            raise await survey.unknown(space, test_id)
        return (await judged(space, [history]))[0]

    async def failures(
        self, project: str, *, fingerprint: str = "", limit: int = 20
    ) -> Sequence[FailureHistory]:
        """Known causes of failure, latest first."""
        store = (await self.workspaces.get(project)).store
        return await store.failures(fingerprints=[fingerprint] if fingerprint else None, limit=limit)

    async def similar(self, project: str, text: str, *, limit: int = 5) -> list[similar.Match]:
        """Known causes that are like *text*, the surest first, each with what it has in common."""
        space = await self.workspaces.get(project)
        return await resembling.similar(space, text, limit)

    # --- elsewhere --------------------------------------------------------------------------

    async def ingest(self, project: str) -> Workspace:
        """Take in what the plugin captured, into the index too; the workspace says what that was."""
        space = await self.workspaces.get(project)
        await self.workspaces.take_in(space, _INGEST_S)
        if not space.store.backend.shared:
            await space.store.feed()
        await self.hand_on(project)
        return space

    async def hand_on(self, project: str) -> str:
        """Have a shared index take in what waits here: the disk of a CI job is gone when the job is.

        A server that takes nothing for a while is waited for no longer. Returns what is left then and why, in words for
        a reader; "" where nothing is.
        """
        store = (await self.workspaces.get(project)).store
        left = store.behind + 1
        while store.backend.shared and 0 < store.behind < left:
            left = store.behind
            with anyio.move_on_after(_HAND_ON_S):
                await store.feed()
        if not (store.backend.shared and store.behind):
            return ""
        return (
            f"{store.behind} run(s) are kept on this machine and not on the server yet. "
            f"{store.hindered or '`pytest-recall store status` tries again.'}"
        )

    async def take_in(
        self,
        project: str,
        sources: Iterable[Document | Refused],
        *,
        space: Space = "ci",
        revision: str = "",
        branch: str = "",
        job: str = "",
        wanted: str = "",
    ) -> list[moving.Taken]:
        """Keep the runs that *sources* tell of; what was kept before is named, and so is what cannot be read.

        Inside a CI job that job tells revision, branch and job where nobody else did.

        Raises:
            BadRequest: *revision* is no commit, or *wanted* no format.
        """
        from pytest_recall import ci, moving
        from pytest_recall.imports import report, revisions

        here = await self.workspaces.get(project)

        def work() -> list[moving.Taken]:
            pipeline = ci.recognise(self._environ) if space == "ci" else None
            told = pipeline or Pipeline(provider="")
            named = revisions.named(here.root, revision or told.commit, branch or told.branch)
            origin = report.Origin(
                root=here.root, space=space, revision=named, job=job or told.job, ci=pipeline
            )
            return list(moving.take_in(here, sources, origin, wanted))

        return await run_sync(work, abandon_on_cancel=True)

    async def take_in_github(
        self,
        project: str,
        *,
        run_id: str = "",
        since: float = 0.0,
        pattern: str = "",
        space: Space = "ci",
        wanted: str = "",
    ) -> list[moving.Taken]:
        """Keep the runs in the artefacts of a workflow run on GitHub, or of all *since* an instant.

        Raises:
            BadRequest: there is no `gh` command, or it cannot find or fetch them.
        """
        from pytest_recall import moving
        from pytest_recall.imports.github import GitHub

        here = await self.workspaces.get(project)

        def work() -> list[moving.Taken]:
            github = GitHub(here.root, self._environ)
            workflows = iter([github.run(run_id)]) if run_id else github.since(since)
            return list(
                moving.take_in_github(
                    here, workflows, github, where=space, named=bool(run_id), pattern=pattern, wanted=wanted
                )
            )

        return await run_sync(work, abandon_on_cancel=True)

    async def hand_out(
        self, project: str, ids: Sequence[str], *, since: float = 0.0
    ) -> AsyncIterator[tuple[str, Run | None]]:
        """The runs of those *ids*, or all *since* an instant, oldest first; the latest one where neither is given.

        Of a window, a run that can no longer be read is None.

        Raises:
            UnknownRun: no run has one of the *ids*, or there are none at all.
        """
        here = await self.workspaces.get(project)
        for run_id in ids:
            yield run_id, await here.known(run_id)
        if ids:
            return
        rows = await here.store.runs(limit=1_000_000 if since else 1, since=since, asked=not since)
        if not rows:
            raise UnknownRun("No run is kept yet" + (" of that time." if since else "."))
        for row in reversed(rows):
            yield row.id, await here.store.run(row.id)

    @staticmethod
    def writer(name: str, out: BinaryIO) -> formats.Writer:
        """What writes runs onto *out* in the format of that name. Raises `BadRequest`."""
        from pytest_recall.exports import formats

        return formats.writer(name, out, shape.dump)

    async def examine(self, project: str) -> Examination:
        """What `doctor` looks at: interpreter, pytest, store, settings. Collects the suite once."""
        space = await self.workspaces.get(project)
        target: Target | RecallError
        discovery: Discovery | RecallError | None = None
        try:
            target = await run_sync(space.target)
        except RecallError as error:
            target = error
        else:
            try:
                discovery = (await self.discover(project, RunRequest())).discovery
            except RecallError as error:
                discovery = error
        status = await space.store.status()
        rows = await space.store.runs(limit=1, asked=True)
        return Examination(
            root=space.root,
            settings=space.settings,
            target=target,
            discovery=discovery,
            folder=space.folder,
            backend=status.backend,
            stored=status.counts,
            troubles=space.store.troubles,
            last=await space.store.run(rows[0].id) if rows else None,
            git=await run_sync(worktree.refusal, space.root),
        )

    async def troubles(self, project: str) -> tuple[str, ...]:
        """What keeps the store from answering in full, or of this project alone, for a reader; empty when all is well."""
        space = await self.workspaces.get(project)
        return tuple(filter(None, (*space.store.troubles, await strangers.trouble(space))))


def _began(run: Run) -> bool:
    """Whether pytest took what it was asked for; a test that is gone makes it refuse the others, too."""
    return run.status is not Status.USAGE_ERROR


async def _learn(space: Workspace, run: Run) -> str:
    return await learning.learn(space, run)


def _ranked(judged: Iterable[Judged]) -> list[Judged]:
    """The likeliest to fail first."""
    return sorted(judged, key=lambda one: -verdict.beta_rank(one.judgement.failures, one.judgement.attempts))


def _teller(job: Job[Report]) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        job.progress = progress

    return tell
