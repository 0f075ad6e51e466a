"""One project that we work in: its folder, its settings, its interpreter and its store."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import anyio
import platformdirs
from anyio.to_thread import run_sync

from pytest_recall import __version__, ci, logbook
from pytest_recall.config import Settings
from pytest_recall.errors import (
    BadSetting,
    RootNotAllowed,
    StoreUnavailable,
    UnknownProject,
    UnknownRun,
    UnreadableRun,
    listed,
    quoted,
)
from pytest_recall.history import trend, written
from pytest_recall.history.reach import Source
from pytest_recall.model import Pipeline, Progress, Revision, Run, RunFiles, RunRequest, RunRow, Space, Target
from pytest_recall.running import captured, covering, revision, runner, sources, target, worktree
from pytest_recall.running.snapshot import Snapshots
from pytest_recall.running.sources import Sources
from pytest_recall.store.backend import Backend, Cloud, Embedded, Http
from pytest_recall.store.client import Store
from pytest_recall.store.journal import Journal

STORE_FOLDER = ".pytest-recall"
_TREND = 50  # runs back that the last measured coverage is looked for
SNAPSHOT_S = 30 * 86_400.0  # how long the sources of a run are kept
_INGESTED = 500
_LESSONS_S = 5.0  # for all that captured runs teach


class Asker(Protocol):
    """On whose behalf a run is: kept with it."""

    @property
    def space(self) -> Space: ...
    @property
    def source(self) -> str: ...
    @property
    def client(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Another place than the project's own folder for its tests to run in."""

    target: Target
    revision: Revision
    environ: Mapping[str, str]


class Workspace:
    """A project folder with everything that a use case needs of it. Entering starts nothing slow."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        environ: Mapping[str, str],
        store: Store,
        folder: Path,
        *,
        log: logging.Logger,
    ) -> None:
        self.root = root
        self.settings = settings
        self.environ = environ
        self.store = store
        self.folder = folder  # of the store: journal, Chroma, pytest's cache
        self.log = log
        self.timed: dict[str, Any] = {}  # durations of recent runs, kept by `survey`
        self.slow: tuple[Any, Any] = (None, None)  # what it made of them last, and of which
        self.judged: dict[int, Any] = {}  # the verdicts on many tests that `judging` gave last
        self.strangers: str | None = None  # what `strangers` found; None: it has not looked
        self.explained: tuple[Any, ...] = (
            None,
            (),
            (),
        )  # those on the causes of a run that `meaning` gave last
        self.ingested: deque[RunRow] = deque(maxlen=_INGESTED)  # captured runs that this process took in
        self.unreadable = 0  # files that should have been such runs

    @property
    def spool(self) -> Path:
        """Where run folders live while runs go on: outside every project, one for each store."""
        return _state() / "spool" / _name(self.folder)

    @property
    def bases(self) -> Path:
        """Where work trees of other revisions are made for a moment: outside every project."""
        return _state() / "bases" / _name(self.folder)

    @property
    def snapshots(self) -> Snapshots:
        """What the sources were at each run, kept as long as a fix may still be found."""
        return Snapshots(self.folder / "sources")

    @cached_property
    def sources(self) -> Sources:
        """The project's Python files, as its tests reach them."""
        return Sources(self.root)

    @property
    def cache_dir(self) -> Path:
        return self.folder / "pytest_cache"

    @property
    def going_on(self) -> int:
        """Captured sessions that are not taken in yet: under way, most likely."""
        return len(captured.waiting(self.store.journal.inbox))

    async def known(self, run_id: str) -> Run:
        """That run.

        Raises:
            UnknownRun: there is none.
            UnreadableRun: there is, and what is left of it cannot be read.
        """
        if (run := await self.store.run(run_id, patient=True)) is not None:
            return run
        await run_sync(self.store.journal.run, run_id)  # which says what is wrong with it
        if f"{run_id}.run" in self.store.journal.aside():
            raise UnreadableRun(f"Run {quoted(run_id)} could not be read and was set aside, in broken/.")
        rows = await self.store.runs(limit=3, asked=True)
        raise UnknownRun(f"No run {quoted(run_id)}. The latest runs: {listed(row.id for row in rows)}.")

    def take_in(self, wait_s: float = 0.0) -> list[Run]:
        """Keep what the plugin captured meanwhile: of sessions that are over, by people, tox, CI."""
        if not captured.waiting(self.store.journal.inbox):
            return []
        now: list[Revision] = []

        def keep(run: Run, files: RunFiles) -> None:
            # What was not committed can be kept for later comparison only while it is still there.
            if run.revision.dirty and run.target.root == str(self.root):
                now[:] = now or [revision.revision(self.root)]
                if now[0].digest == run.revision.digest:
                    tree = self.snapshots.take(self.root, run.revision)
                    run = replace(run, revision=replace(run.revision, tree=tree))
            self.store.keep(run, files)
            self.ingested.append(trend.row(run))

        def aside(path: Path) -> None:
            self.unreadable += 1
            self.store.journal.set_aside(path)

        journal = self.store.journal
        return captured.take(
            journal.inbox,
            keep,
            known=lambda run_id: journal.find(run_id) is not None,
            aside=aside,
            wait_s=wait_s,
        )

    def target(self) -> Target:
        """The interpreter that runs this project's tests, looked up anew: environments come and go."""
        settings = self.settings
        return target.resolve(
            self.root,
            explicit=settings.python,
            explicit_source=settings.origins.get("python", ""),
            environ=self.environ,
        )

    async def run(
        self,
        request: RunRequest,
        asker: Asker,
        *,
        run_id: str,
        note: str = "",
        elsewhere: Elsewhere | None = None,
        confirms: Run | None = None,
        keeps: Callable[[Run], bool] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        stop: anyio.Event | None = None,
    ) -> Run:
        """One run, kept with *note* in it; not if *keeps* says so. Raises what `runner.run` raises.

        Right after a run that it *confirms*, it is of that one's sources, if since then only files were changed that no
        test imports: its tests wrote them.
        """
        here = elsewhere or Elsewhere(
            target=await run_sync(self.target),
            revision=await run_sync(self._revision, confirms),
            environ=self.environ,
        )

        # Beside the start of the run; what the tests write must not look like an edit of somebody's.
        snapshot = asyncio.create_task(
            asyncio.to_thread(self.snapshots.take, self.root, here.revision) if not elsewhere else _nothing()
        )

        reading = asyncio.create_task(asyncio.to_thread(self.sources.now) if not elsewhere else _no_sources())

        def noted(run: Run, tree: str, read: dict[str, Source]) -> Run:
            run = self.store.journal.alike(run)
            run = replace(run, revision=replace(run.revision, tree=tree)) if tree else run
            run = replace(run, reach=sources.reaches(read, run)) if read else run
            return replace(run, notes=(note, *run.notes)) if note else run

        kept: list[Run] = []

        async def keep(run: Run, files: RunFiles) -> None:
            kept.append(await self._beside_the_last(run))
            kept[0] = await run_sync(noted, kept[0], await snapshot, await reading)
            if keeps is not None and not keeps(run):
                return
            try:
                await run_sync(self.store.keep, kept[0], files)
            except StoreUnavailable as error:  # whoever asked shall know what came of it all the same
                kept[0] = replace(kept[0], notes=(*kept[0].notes, f"This run is not in the history. {error}"))

        async def changed() -> covering.Lines:
            return await run_sync(self.snapshots.changed, self.root, here.revision.commit, await snapshot)

        pipeline = ci.recognise(self.environ)
        self.log.info("run %s by %s: %s with %s", run_id, asker.source, _asked(request), here.target.python)
        await runner.run(
            request,
            here.target,
            run_id=run_id,
            spool=self.spool,
            cache_dir=None if elsewhere else self.cache_dir,
            environ=here.environ,
            revision=here.revision,
            space=self.belongs(asker, pipeline),
            source=asker.source,
            client=asker.client,
            ci=pipeline,
            on_progress=on_progress,
            stop=stop,
            allow_any_args=self.settings.allow_any_args,
            keep=keep,
            changed=changed,
            html=self.folder / "coverage" / run_id,
        )
        self._tell(kept[0])
        return kept[0]

    def changed_since(self, run: Run) -> list[str] | None:
        """The files, from the repository's top, that are others than when *run* began; None where some are and nobody tells which."""
        now, before = revision.revision(self.root), run.revision
        if now.digest == before.digest:
            return []
        if not now.known or now.commit != before.commit:
            return None
        return self.snapshots.paths(self.root, before.tree, self.snapshots.take(self.root, now)) or None

    def _revision(self, confirmed: Run | None) -> Revision:
        changed = self.changed_since(confirmed) if confirmed else None
        if confirmed and changed is not None and not written.sources(changed, confirmed.tests.ids):
            return confirmed.revision
        return revision.revision(self.root)

    def belongs(self, asker: Asker, pipeline: Pipeline | None) -> Space:
        """The space of what *asker* runs, in a job of *pipeline*."""
        return self.settings.space or ("ci" if pipeline and asker.space == "local" else asker.space)

    def _tell(self, run: Run) -> None:
        """How *run* ended, for whoever reads our log."""
        counts = " ".join(f"{number} {name}" for name, number in run.counts.items())
        ends = "; ".join(map(repr, run.terminations))
        self.log.info("run %s: %s, %s, %.2f s; %s", run.id, run.status, counts, run.duration_s, ends)
        for trouble in (*run.doubts, *self.store.troubles):
            self.log.warning("run %s: %s", run.id, trouble)

    async def _beside_the_last(self, run: Run) -> Run:
        """*run* with the coverage of the last run of the same selection; only the newest pages are kept."""
        if run.coverage is None:
            return run
        await run_sync(covering.prune, self.folder / "coverage")
        rows = await self.store.runs(limit=_TREND, scope=trend.row(run).scope, before=run.id)
        before = next((row.coverage for row in rows if row.coverage is not None and not row.suspect), None)
        return replace(run, coverage=replace(run.coverage, before=before))


class Workspaces:
    """The projects of one process, each opened once; worktrees of one repository share a store."""

    def __init__(
        self,
        flags: Mapping[str, Any],
        environ: Mapping[str, str],
        default: Path,
        *,
        learn: Callable[[Workspace, Run], Awaitable[object]],
    ) -> None:
        self._learn = learn
        self._flags = flags
        self._environ = environ
        self._default = default
        self._open: dict[Path, Workspace] = {}
        self._stores: dict[Path, Store] = {}
        self._logs: dict[Path, logging.Logger] = {}
        self._closing = AsyncExitStack()
        self._opening = anyio.Lock()
        own = Settings.load(default, flags=flags, environ=environ)
        self._roots = [Path(root).resolve() for root in own.allow_root] or self._own_root()
        self.runs_at_once = own.runs_at_once

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._closing.aclose()

    def _own_root(self) -> list[Path]:
        """The default project; but some clients start servers in `/` or at home, which is no project's folder."""
        own = self._default.resolve()
        return [] if own in {Path(own.anchor), Path.home().resolve()} else [own]

    @property
    def log(self) -> logging.Logger:
        """The log of the first store that was opened; before that, standard error."""
        return next(iter(self._logs.values()), logging.getLogger("pytest-recall"))

    def folder(self, project: str) -> Path:
        """The project folder that *project* names.

        Raises:
            UnknownProject: no such folder.
            RootNotAllowed: it lies outside the allowed roots.
        """
        path = (self._default / project) if project else self._default
        try:
            root = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise UnknownProject(
                f"No project at {quoted(str(path))}. Pass the folder that holds its tests."
            ) from None
        if not root.is_dir():
            raise UnknownProject(
                f"{quoted(str(path))} is a file. Pass the folder that holds the project's tests."
            )
        if not any(root.is_relative_to(allowed) for allowed in self._roots):
            if not self._roots:
                raise RootNotAllowed(
                    f"The server was started in {quoted(str(self._default))}, which is no project's folder. Start it with "
                    "--project FOLDER, or with --allow-root FOLDER and pass `project` with each call."
                )
            allowed = ", ".join(map(str, self._roots))
            raise RootNotAllowed(
                f"{quoted(str(root))} lies outside the allowed roots ({allowed}). "
                "Start the server with --allow-root for that folder, or pass a project inside one."
            )
        return root

    async def get(self, project: str) -> Workspace:
        """The workspace of *project* ("": the default one), opened at its first use."""
        root = self.folder(project)
        async with self._opening:
            if root not in self._open:
                self._open[root] = await self._enter(root)
            space = self._open[root]
            space.store.journal.renew()
            if space.going_on:
                await self.take_in(space)
        return space

    async def holding(self, project: str, run_id: str) -> Workspace:
        """The workspace of *project*, or where none is named the one that is open and has that run.

        Run ids are unique, and the address of a resource has no room for a project.
        """
        if not project:
            for space in self._open.values():
                if await run_sync(space.store.journal.find, run_id) is not None:
                    return space
        return await self.get(project)

    async def take_in(self, space: Workspace, wait_s: float = 0.0) -> None:
        """Keep what the plugin captured, and learn from it as from a run of ours."""
        arrived = await run_sync(space.take_in, wait_s)
        with anyio.move_on_after(_LESSONS_S):
            for run in arrived:
                await self._learn(space, run)

    async def _enter(self, root: Path) -> Workspace:
        settings = Settings.load(root, flags=self._flags, environ=self._environ)
        folder = (
            Path(settings.store_folder) if settings.store_folder else revision.main_root(root) / STORE_FOLDER
        )
        folder = (root / folder).absolute()
        if folder not in self._stores:
            journal, elsewhere = await run_sync(_journal, folder)
            store = Store(journal, _backend(settings, journal.folder, root), elsewhere=elsewhere)
            self._logs[folder] = self._closing.enter_context(
                logbook.opened(journal.folder, settings.log_level)
            )
            self._stores[folder] = await self._closing.enter_async_context(store)
        store, log = self._stores[folder], self._logs[folder]
        space = Workspace(root, settings, self._environ, store, store.journal.folder, log=log)
        log.info(
            "pytest-recall %s opens %s (%s)",
            __version__,
            root,
            settings.store,
        )
        await run_sync(_tidy, space)
        return space


def _journal(folder: Path) -> tuple[Journal, str]:
    """The journal in *folder*, or, beside a project that can't be written, one in the user's own state folder.

    With it, in words for a reader, what lies in the other place. A journal that is there and can't be opened is an
    error: another one instead of it would be an empty past, in silence.

    Raises:
        StoreUnavailable: there is one, or something in its place, or none can be made anywhere.
    """
    spare = _state() / "stores" / _name(folder)  # the plugin's rule, too
    try:
        return Journal(folder), _left_in(spare)
    except StoreUnavailable as error:
        if not _is_bare(folder):
            raise
        return Journal(
            spare
        ), f"The project cannot be written: this history is kept in {quoted(str(spare))}. {error}"


def _left_in(spare: Path) -> str:
    if not (count := sum(1 for part in ("inbox", "runs") for _ in (spare / part).glob("*-*"))):
        return ""
    return (
        f"{count} run(s) are missing that were kept in {quoted(str(spare))} while the project could not be written: "
        f"`store export FILE` with PYTEST_RECALL_STORE_FOLDER set to it, `store import FILE` without, and remove it."
    )


def _is_bare(folder: Path) -> bool:
    """Whether it is known that nothing is in *folder*."""
    try:
        return not any(folder.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _backend(settings: Settings, folder: Path, root: Path) -> Backend:
    """Where the index lives, by the settings. Raises BadSetting."""
    where = settings.store
    project = settings.store_project or main_name(root)
    if where == "embedded":
        return Embedded(folder=str(folder), embedding=settings.embedding)
    if where == "cloud":
        return Cloud(
            tenant=settings.chroma_tenant,
            database=settings.chroma_database,
            api_key=settings.chroma_api_key,
            project=project,
            embedding=settings.embedding,
        )
    if where.startswith(("http://", "https://")):
        token = settings.store_token
        headers = (("Authorization", f"Bearer {token}"),) if token else ()
        return Http(
            url=where,
            headers=headers,
            tenant=settings.chroma_tenant,
            database=settings.chroma_database,
            project=project,
            embedding=settings.embedding,
        )
    raise BadSetting(
        f"Setting 'store' is {quoted(where)}. Valid: 'embedded', 'cloud', or the http(s):// address of a Chroma server."
    )


def main_name(root: Path) -> str:
    """What tells projects apart on a shared server, on every machine alike: the main work tree's folder name."""
    return revision.main_root(root).name


def _asked(request: RunRequest) -> str:
    """What *request* selects; the values of its variables are nobody's business."""
    words = [*request.tests[:5], *(["…"] if len(request.tests) > 5 else [])]  # noqa: PLR2004 - enough to tell
    words += [f"-k {request.keyword}"] if request.keyword else []
    words += [f"-m {request.markers}"] if request.markers else []
    words += [*request.args, *(f"{name}=…" for name, _ in request.env), request.purpose]
    return " ".join(word for word in words if word) or "everything"


async def _nothing() -> str:
    return ""


async def _no_sources() -> dict[str, Source]:
    return {}


def _tidy(space: Workspace) -> None:
    """Keep the runs whose server died before it could, and let go of what has left the retention."""
    for run, files, forget in runner.recover(space.spool):
        space.store.keep(run, files)
        forget()
    worktree.tidy(space.root, space.bases)
    space.snapshots.prune(SNAPSHOT_S)
    keep = space.settings
    space.store.prune_later(
        count=keep.keep_runs, age_s=keep.keep_days * 86_400.0, size_bytes=keep.keep_mb << 20
    )


def _state() -> Path:
    return platformdirs.user_state_path("pytest-recall")


def _name(folder: Path) -> str:
    return hashlib.blake2b(str(folder).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
