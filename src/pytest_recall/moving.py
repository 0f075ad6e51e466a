"""Runs on their way in and out of one project's store: each content is kept once, and what could not be read is named."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from pytest_recall.errors import Unimportable, UnreadableRun, quoted
from pytest_recall.imports import builds, formats, ours, report
from pytest_recall.imports.doubles import doubles
from pytest_recall.imports.github import GitHub, Workflow, pipeline
from pytest_recall.imports.places import Places
from pytest_recall.imports.sources import Document, Refused, Sources
from pytest_recall.model import Run, RunFiles, Space
from pytest_recall.running import captured
from pytest_recall.store import shape
from pytest_recall.workspace import Workspace

_MOST_WAITING = 64 << 20  # bytes of reports that may belong together


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of one document."""

    name: str
    runs: tuple[Run, ...] = ()  # new ones, kept now
    known: tuple[str, ...] = ()  # ids of those that were there before
    refused: tuple[str, ...] = ()  # what could not be read, and why
    poorer: tuple[str, ...] = ()  # those of `known` that lack the revision or the job that is told now
    doubled: tuple[str, ...] = ()  # ids of runs that tell, and tell more of, what this document tells
    bare: bool = False  # a run on GitHub that nobody asked for by itself, and that kept no artefacts


def take_in(
    space: Workspace, sources: Iterable[Document | Refused], origin: report.Origin, wanted: str = ""
) -> Iterator[Taken]:
    """Keep the runs of *sources*. Raises `StoreUnavailable` where the disk refuses."""
    intake = _Intake(space, wanted)
    yield from intake.take_all(sources, origin)
    yield from intake.settle()


def take_in_github(
    space: Workspace,
    workflows: Iterable[Workflow | Refused],
    github: GitHub,
    *,
    where: Space,
    named: bool,
    pattern: str = "",
    wanted: str = "",
) -> Iterator[Taken]:
    """Keep the runs in the artefacts of *workflows*; each artefact is a job of its own.

    One that has none is refused where it was *named*. Of all since a day, most repositories have some: lint, docs.
    """
    intake = _Intake(space, wanted)
    for workflow in workflows:
        if isinstance(workflow, Refused):
            yield Taken(name=workflow.name, refused=(workflow.why,))
            continue
        with tempfile.TemporaryDirectory(prefix="pytest-recall-") as folder:
            try:
                artefacts = github.fetch(workflow, Path(folder), pattern)
            except Unimportable as error:
                yield Taken(name=f"GitHub run {workflow.id}", refused=(str(error),))
                continue
            if not artefacts:
                yield _bare(workflow, pattern, named=named)
            for name, path in artefacts:
                ci = pipeline(workflow, name)
                origin = report.Origin(
                    root=space.root,
                    space=where,
                    revision=workflow.revision,
                    job=ci.job,
                    ci=ci,
                    within=f"GitHub run {workflow.id}/{name}/",
                )
                sources = Sources([str(path)], shown=(folder, f"GitHub run {workflow.id}"))
                yield from intake.take_all(sources, origin)
            yield from intake.settle()


def _bare(workflow: Workflow, pattern: str, *, named: bool) -> Taken:
    like = f" that match {quoted(pattern)}" if pattern else ""
    why = f"has no artefacts{like}, or they have expired"
    return Taken(name=f"GitHub run {workflow.id}", refused=(why,) if named else (), bare=not named)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A report of what may be a part of a run, or told by what is yet to be read."""

    document: Document
    origin: report.Origin
    found: formats.Found

    @property
    def part(self) -> builds.Part | None:
        document, told = self.document, self.found.part
        if told is None:
            return None
        return builds.Part(name=document.name, content=document.data, at=document.at, report=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """The runs of a document, or of several together."""

    name: str
    document: str  # the first
    origin: report.Origin
    runs: tuple[Run, ...]
    data: bytes = b""


class _Intake:
    """Keeps what is new."""

    def __init__(self, space: Workspace, wanted: str) -> None:
        self._store = space.store
        self._places = Places(space.root)
        self._wanted = formats.checked(wanted)
        paths = self._store.journal.paths()
        self._ids = {path.stem for path in paths}
        # A report that tells no time has that of its file, which a copy of it need not share.
        self._contents = {report.content_of(path.stem): path.stem for path in paths}
        self._waiting: list[_Waiting] = []
        self._sessions: list[Run] = []  # that tell of themselves, read meanwhile
        self._doubles: dict[str, str] = {}  # runs of what is settled → sessions that are the same
        self._size = 0  # of all that was read meanwhile

    def take_all(self, sources: Iterable[Document | Refused], origin: report.Origin) -> Iterator[Taken]:
        """Read *sources*, all from one place; what may belong together waits until it is told to `settle`."""
        for one in sources:
            if isinstance(one, Refused):
                yield Taken(name=one.name, refused=(one.why,))
            else:
                yield from self._take(one, origin)
                if self._size > _MOST_WAITING:
                    yield from self.settle(builds.folder(one.name))

    def settle(self, reading: str | None = None) -> Iterator[Taken]:
        """Keep what waits, but for what lies in the folder that is being *reading*, unless nothing else does."""
        folders = {builds.folder(one.document.name) for one in self._waiting}
        stays = reading if folders - {reading} else None
        ready, waiting = list[_Waiting](), list[_Waiting]()
        for one in self._waiting:
            (waiting if builds.folder(one.document.name) == stays else ready).append(one)
        for one in ready:  # what it was written from may have been read meanwhile
            self._recognise(one.found)
        told = [pair for one in ready for pair in zip(one.found.runs, one.found.reports, strict=True)]
        self._doubles = doubles(told, self._sessions)
        self._waiting, self._sessions, self._size = (
            waiting,
            [],
            sum(len(one.document.data) for one in waiting),
        )
        parts, whole = list[_Waiting](), list[_Ready]()
        for one in ready:
            if one.part is not None and one.found.runs[0].id not in self._doubles:
                parts.append(one)
            else:
                name, data = one.document.name, one.document.data
                whole.append(
                    _Ready(name=name, document=name, origin=one.origin, runs=one.found.runs, data=data)
                )
        for _, some in groupby(parts, key=lambda one: id(one.origin)):
            whole += self._whole(list(some))
        for each in self._apart(whole):
            yield self._kept(each.name, each.runs, data=each.data)

    def _take(self, document: Document, origin: report.Origin) -> Iterator[Taken]:
        self._size += len(document.data)
        if (self._wanted or formats.sniff(document.data)) == "capture":
            yield self._captured(document, origin)
            return
        try:
            found = formats.read(
                document.data,
                origin,
                at=document.at,
                places=self._places,
                load=shape.load,
                wanted=self._wanted,
            )
        except Unimportable as error:
            yield Taken(name=document.name, refused=(str(error),))
            return
        self._recognise(found)
        if not found.reports or all(self._before(run) for run in found.runs):
            self._sessions += [run for run in found.runs if not run.lost]
            yield self._kept(document.name, found.runs, found.broken)
            return
        self._waiting.append(_Waiting(document=document, origin=origin, found=found))

    def _whole(self, waiting: Sequence[_Waiting]) -> Iterator[_Ready]:
        """Parts from one place, as runs."""
        origin = waiting[0].origin
        for parts in builds.builds(one.part for one in waiting if one.part):
            modules = list(builds.folders(parts).values())
            # One that was imported by itself stays a run, and the others are none of its build then.
            known = len(modules) > 1 and any(self._before(_run(module, origin)) for module in modules)
            for some in modules if known else [parts]:
                first = min(part.name for part in some)
                runs = (_run(some, origin),)
                yield _Ready(name=builds.title(some), document=first, origin=origin, runs=runs)

    def _apart(self, ready: Sequence[_Ready]) -> Iterator[_Ready]:
        """*ready*, where several documents of a job that nobody named tell of one test, as of a place each.

        Another Python in the same job is as likely as a rerun.
        """
        told = [self._told(one) for one in ready]
        seen = Counter(test for tests in told for test in tests)
        for one, tests in zip(ready, told, strict=True):
            where = one.document.removeprefix(one.origin.within)
            several = any(seen[test] > 1 for test in tests)
            yield replace(one, runs=tuple(report.apart(run, where) for run in one.runs)) if several else one

    def _told(self, one: _Ready) -> set[tuple[str, str]]:
        """The tests of *one* and their job, where that is made up."""
        job, ci = one.origin.job, one.origin.ci
        if ci is None or job != ci.job:
            return set()
        return {(job, test) for run in one.runs if run.id not in self._doubles for test in run.tests.ids}

    def _kept(self, name: str, runs: Iterable[Run], broken: tuple[str, ...] = (), data: bytes = b"") -> Taken:
        kept, known, poorer, doubled = list[Run](), list[str](), list[str](), list[str]()
        for run in runs:
            before = self._before(run)
            if run.id in self._doubles and not before:
                doubled.append(self._doubles[run.id])
                continue
            if before:
                known.append(before)
                poorer += [before] if self._is_poorer(before, run) else []
                continue
            is_report = run.source == "import:json-report"
            self._store.keep(run, RunFiles(report=data if is_report else b""))
            self._ids.add(run.id)
            self._contents[report.content_of(run.id)] = run.id
            kept.append(run)
        return Taken(
            name=name,
            runs=tuple(kept),
            known=tuple(known),
            refused=broken,
            poorer=tuple(poorer),
            doubled=tuple(doubled),
        )

    def _recognise(self, found: formats.Found) -> None:
        """Know those of its runs that say of which run of ours they are, where that is kept and tells the same."""
        for run, told in zip(found.runs, found.reports, strict=False):
            if told.run in self._ids and not self._before(run):
                with suppress(UnreadableRun):
                    kept = self._store.journal.run(told.run)
                    if kept is not None and ours.same(told, kept):
                        self._contents[report.content_of(run.id)] = kept.id

    def _is_poorer(self, known: str, run: Run) -> bool:
        """Whether the run kept as *known* was imported without the revision or the job that *run* has."""
        told = set(_named(run)) if run.lost else set()
        try:
            before = self._store.journal.run(known) if told else None
        except UnreadableRun:
            return False
        return before is not None and bool(before.lost) and not told.issubset(_named(before))

    def _captured(self, document: Document, origin: report.Origin) -> Taken:
        """A session that the plugin captured elsewhere: the inbox of a CI job, as an artefact."""
        try:
            run = captured.brought(document.data, str(origin.root), origin.space)
        except UnreadableRun as error:
            return Taken(name=document.name, refused=(str(error),))
        self._sessions.append(run)
        if run.id in self._ids:
            return Taken(name=document.name, known=(run.id,))
        self._store.keep(run, RunFiles())
        self._ids.add(run.id)
        return Taken(name=document.name, runs=(run,))

    def _before(self, run: Run) -> str:
        """The id under which *run* is kept already."""
        if run.id in self._ids:
            return run.id
        return self._contents.get(report.content_of(run.id), "") if run.lost else ""


def _run(parts: Sequence[builds.Part], origin: report.Origin) -> Run:
    told, content = builds.whole(parts) if len(parts) > 1 else (parts[0].report, parts[0].content)
    return report.run(told, replace(origin, at=min(part.at for part in parts)), content)


def _named(run: Run) -> Iterator[str]:
    """What whoever imported *run* said of it."""
    if run.revision.commit or run.revision.digest:
        yield "revision"
    if run.environment.distributions.startswith("job "):
        yield "job"
