"""Runs on their way in and out of one project's store: each content is kept once, and what could not be read is named."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_recall.errors import Unimportable, UnreadableRun
from pytest_recall.imports import builds, formats, report
from pytest_recall.imports.github import GitHub, Workflow, pipeline
from pytest_recall.imports.places import Places
from pytest_recall.imports.sources import Document, Refused, Sources
from pytest_recall.model import Run, RunFiles, Space
from pytest_recall.running import captured
from pytest_recall.store import shape
from pytest_recall.workspace import Workspace

_MOST_WAITING = 64 << 20  # bytes of reports that may be of one run


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of one document."""

    name: str
    runs: tuple[Run, ...] = ()  # new ones, kept now
    known: tuple[str, ...] = ()  # ids of those that were there before
    refused: tuple[str, ...] = ()  # what could not be read, and why
    poorer: tuple[str, ...] = ()  # those of `known` that lack the revision or the job that is told now


def take_in(
    space: Workspace, sources: Iterable[Document | Refused], origin: report.Origin, wanted: str = ""
) -> Iterator[Taken]:
    """Keep the runs of *sources*. Raises `StoreUnavailable` where the disk refuses."""
    yield from _Intake(space, wanted).take_all(sources, origin)


def take_in_github(
    space: Workspace,
    workflows: Iterable[Workflow],
    github: GitHub,
    *,
    where: Space,
    pattern: str = "",
    wanted: str = "",
) -> Iterator[Taken]:
    """Keep the runs in the artefacts of *workflows*; each artefact is a job of its own."""
    intake = _Intake(space, wanted)
    for workflow in workflows:
        with tempfile.TemporaryDirectory(prefix="pytest-recall-") as folder:
            try:
                artefacts = github.fetch(workflow, Path(folder), pattern)
            except Unimportable as error:
                yield Taken(name=f"GitHub run {workflow.id}", refused=(str(error),))
                continue
            for name, path in artefacts:
                ci = pipeline(workflow, name)
                origin = report.Origin(
                    root=space.root, space=where, revision=workflow.revision, job=ci.job, ci=ci
                )
                sources = Sources([str(path)], shown=(folder, f"GitHub run {workflow.id}"))
                yield from intake.take_all(sources, origin)


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
        self._parts: list[builds.Part] = []  # of one folder, which may be of one run

    def take_all(self, sources: Iterable[Document | Refused], origin: report.Origin) -> Iterator[Taken]:
        """Keep the runs of *sources*, all from one place."""
        for one in sources:
            if isinstance(one, Refused):
                yield Taken(name=one.name, refused=(one.why,))
            else:
                yield from self._take(one, origin)
        yield from self._whole(origin)

    def _take(self, document: Document, origin: report.Origin) -> Iterator[Taken]:
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
        if found.part is None or self._before(found.runs[0]):
            yield self._kept(document.name, found.runs, found.broken, document.data)
            return
        part = builds.Part(name=document.name, content=document.data, at=document.at, report=found.part)
        if not self._joins(part):
            yield from self._whole(origin)
        self._parts.append(part)

    def _joins(self, part: builds.Part) -> bool:
        """Whether *part* can be of one run with those that wait."""
        size = sum(len(one.content) for one in self._parts) + len(part.content)
        same = all(builds.folder(one.name) == builds.folder(part.name) for one in self._parts[-1:])
        return same and size <= _MOST_WAITING

    def _whole(self, origin: report.Origin) -> Iterator[Taken]:
        """What waits, as runs."""
        waiting, self._parts = self._parts, []
        for parts in builds.builds(waiting):
            told, content = builds.whole(parts) if len(parts) > 1 else (parts[0].report, parts[0].content)
            at = min(part.at for part in parts)
            run = report.run(told, replace(origin, at=at), content)
            name = (
                parts[0].name if len(parts) == 1 else f"{builds.folder(parts[0].name)} ({len(parts)} reports)"
            )
            yield self._kept(name.strip(), (run,))

    def _kept(self, name: str, runs: Iterable[Run], broken: tuple[str, ...] = (), data: bytes = b"") -> Taken:
        kept, known, poorer = list[Run](), list[str](), list[str]()
        for run in runs:
            before = self._before(run)
            if before:
                known.append(before)
                poorer += [before] if self._is_poorer(before, run) else []
                continue
            is_report = run.source == "import:json-report"
            self._store.keep(run, RunFiles(report=data if is_report else b""))
            self._ids.add(run.id)
            self._contents[report.content_of(run.id)] = run.id
            kept.append(run)
        return Taken(name=name, runs=tuple(kept), known=tuple(known), refused=broken, poorer=tuple(poorer))

    def _is_poorer(self, known: str, run: Run) -> bool:
        """Whether the run kept as *known* was imported without the revision or the job that *run* has."""
        told = set(_named(run)) if run.lost else set()
        try:
            before = self._store.journal.run(known) if told else None
        except UnreadableRun:
            return False
        return before is not None and not told.issubset(_named(before))

    def _captured(self, document: Document, origin: report.Origin) -> Taken:
        """A session that the plugin captured elsewhere: the inbox of a CI job, as an artefact."""
        try:
            run = captured.brought(document.data, str(origin.root), origin.space)
        except UnreadableRun as error:
            return Taken(name=document.name, refused=(str(error),))
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


def _named(run: Run) -> Iterator[str]:
    """What whoever imported *run* said of it."""
    if run.revision.commit or run.revision.digest:
        yield "revision"
    if run.environment.distributions.startswith("job "):
        yield "job"
