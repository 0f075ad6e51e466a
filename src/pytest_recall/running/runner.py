"""The story of a run: launch, watch, read what is told, end it in time, go on without a culprit, judge.

Nothing that tests do raises here. A run that is cancelled from outside kills its processes and lets
the cancellation through; one that is stopped by its event ends, and is told as far as it came.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.to_thread import run_sync

from pytest_recall.model import (
    Cancelled,
    Coverage,
    Crashed,
    Finished,
    Pipeline,
    Progress,
    Revision,
    Run,
    RunFiles,
    RunRequest,
    Space,
    Target,
    Termination,
    TimedOut,
    WorkerLost,
)
from pytest_recall.running import (
    cargo,
    command,
    covering,
    evidence,
    jsonreport,
    lastfailed,
    options,
    process,
    report,
)
from pytest_recall.running import target as targets
from pytest_recall.running.discovery import discover
from pytest_recall.running.ledger import Launch, Ledger
from pytest_recall.running.process import Launcher, Output, Tree
from pytest_recall.running.recovery import recover
from pytest_recall.running.report import Ended, Origin
from pytest_recall.running.spool import RunFolder, Spool, write

__all__ = ["discover", "recover", "run"]

_TICK = 0.25  # between two looks at the facts; the end of a launch is noticed at once
_PROGRESS = 0.1
_SPILL = 1.0
_GRACE = 1.5  # for teardowns, once a limit is reached
_DUMP = 0.15  # for faulthandler to write
_STOP_GRACE = 1.0
_EXIT_GRACE = 10.0  # for pytest's process to leave after its session has ended; or, where that is longer,
_EXIT_SHARE = 0.25  # so much of what the session took: Python frees 200,000 tests one by one
_MOST_LAUNCHES = 100
_LEAST_REPORT, _MOST_REPORT = 3.0, 120.0  # seconds for the report of what was covered

Keep = Callable[[Run, RunFiles], Awaitable[None]]
Changed = Callable[[], Awaitable[covering.Lines]]


async def run(
    request: RunRequest,
    target: Target,
    *,
    run_id: str,
    spool: Path,
    cache_dir: Path | None,
    environ: Mapping[str, str],
    revision: Revision,
    space: Space,
    source: str,
    client: str = "",
    ci: Pipeline | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: anyio.Event | None = None,
    allow_any_args: bool = False,
    launcher: Launcher = process.start,
    keep: Keep | None = None,
    changed: Changed | None = None,
    html: Path | None = None,
) -> tuple[Run, RunFiles]:
    """Run *request* on *target* and tell what happened. Answers at most about 3 s after its limit.

    *keep* is awaited with the result before the run folder goes: a process killed before that leaves
    the run to `recover`. *stop* ends the run as `Cancelled`, with what has finished until then. Where coverage
    is asked for, *changed* gives the lines to look at, and *html* is where a report in HTML may be made.

    Raises:
        BadRequest: the request may not be carried out; see `command.check`.
        NoPytest: the target's interpreter cannot import pytest.
        NoRoom: nothing can be written for the run.
    """
    command.check(request, Path(target.root), allow_any_args=allow_any_args)
    origin = Origin(
        id=run_id,
        started_at=time.time(),
        request=request,
        target=target,
        revision=revision,
        space=space,
        source=source,
        client=client,
        ci=ci,
    )
    with Spool(spool).run_folder(run_id) as folder:
        folder.write_story(report.story(origin))
        course = _Course(
            origin,
            folder,
            cargo=cargo.lay(spool),
            cache_dir=cache_dir,
            environ=environ,
            on_progress=on_progress,
            stop=stop,
            allow_any_args=allow_any_args,
            launcher=launcher,
        )
        await course.run()
        if course.measures and not (stop and stop.is_set()):
            await course.measure(await changed() if changed else {}, html)
        result = await run_sync(course.result)
        del course  # and the ledger with it, before anything more is made of the result
        if keep is not None:
            with anyio.CancelScope(shield=True):
                await keep(*result)
        return result


class _Course:
    """One run under way: its launches, what they told, and the time that is left."""

    def __init__(
        self,
        origin: Origin,
        folder: RunFolder,
        *,
        cargo: Path,
        cache_dir: Path | None,
        environ: Mapping[str, str],
        on_progress: Callable[[Progress], None] | None,
        stop: anyio.Event | None,
        allow_any_args: bool,
        launcher: Launcher,
    ) -> None:
        self.origin = origin
        self._request = origin.request
        self._folder = folder
        self._cargo = cargo
        self._cache_dir = cache_dir
        self._environ = environ
        self._on_progress = on_progress
        self._stop = stop
        self._allow_any_args = allow_any_args
        self._launcher = launcher
        self._began = time.monotonic()
        self._told = (-math.inf, Progress())
        self._spilled = (-math.inf, 0)
        self._workers = 0
        self.measures = False
        self.coverage: Coverage | None = None
        self.ledger = Ledger(root=origin.target.root, clock=time.monotonic)
        self.output = Output()
        self.ends: list[Ended] = []
        self.doubts: list[str] = []
        self.report = b""

    # --- launches -------------------------------------------------------------------------

    async def run(self) -> None:
        await run_sync(self._find_tools)
        if self._cache_dir is not None:
            await run_sync(lastfailed.restore, self._cache_dir)
        for repetition in range(self._request.repeat):
            while True:
                known = len(self.ledger.culprits)
                end = await self._next(repetition)
                if end is None:
                    return
                self.ends.append(end)
                how = report.termination(end)
                if not self._may_go_on(end, how, new=len(self.ledger.culprits) - known):
                    break
            if not isinstance(how, Finished | Crashed) and not (isinstance(how, TimedOut) and how.test):
                return
            if self._left() <= 0:
                return

    def _may_go_on(self, end: Ended, how: Termination, *, new: int) -> bool:
        """Whether a launch that was cut short by a test shall be followed by one without it.

        *new* culprits with a good end are workers that died, so many that xdist gave up.
        """
        cut_short = (
            (isinstance(how, Crashed) and not how.at_exit)
            or isinstance(how, WorkerLost)  # what it was doing is done again, and told if it dies again
            or (isinstance(how, TimedOut) and how.test)
            or (isinstance(how, Finished) and new)
        )
        enough = self._request.max_failures and self.ledger.failed >= self._request.max_failures
        return bool(
            self._request.resume
            and cut_short
            and end.launch.closed
            and self.ledger.attempts.left
            and not enough
            and not options.stops_early(self._request.args)
            and len(self.ends) < _MOST_LAUNCHES
            and self._left() > 2 * _TICK
            and not (self._stop and self._stop.is_set())
        )

    async def _next(self, repetition: int) -> Ended | None:
        """The next launch, or None where there is no room for another one."""
        try:
            return await self._launch(repetition)
        except OSError as error:
            if not self.ends:
                raise
            self.ledger.note(f"The rest could not be run: {error.strerror or error}.")
            return None

    async def _launch(self, repetition: int) -> Ended:
        folder = self._folder.launch(len(self.ends))
        launch = self.ledger.begin(repetition)
        built = self._built(folder)
        write(folder / "cfg.json", built.cfg | {"repetition": repetition})
        facts = folder / "events.jsonl"
        facts.touch(mode=0o600)  # the reader has it in hand before a test can take it away
        why = None
        with evidence.Reader(facts, self.ledger.add) as reader:
            try:
                async with self._launcher(built, cwd=self.origin.target.root, output=self.output) as tree:
                    why = await self._watch(tree, reader, launch)
                    if why is not None:
                        await self._end(folder, tree, reader, why)
            except OSError as error:
                return evidence.unstarted(launch, error)
            await reader.drain()
            return await run_sync(self._ended, folder, launch, reader, tree.exit_code, why)

    def _find_tools(self) -> None:
        """Whether what is asked for is installed there: xdist for workers, something that measures coverage."""
        python = self.origin.target.python
        if self._request.coverage:
            trouble = covering.missing(python)
            self.measures = not trouble
            if trouble:
                self.ledger.note(trouble)
        self._workers = self._request.parallel
        if self._workers and not targets.has(python, "xdist"):
            self.ledger.note(
                "parallel: pytest-xdist is not installed there, so the tests ran one after another."
            )
            self._workers = 0

    def _built(self, folder: Path) -> command.Command:
        request, target = self._request, self.origin.target
        if request.max_failures:
            request = replace(request, max_failures=max(request.max_failures - self.ledger.failed, 1))
        built = command.build(
            request,
            target,
            run_folder=folder,
            cargo=self._cargo,
            environ=self._environ,
            cache_dir=self._cache_dir,
            json_report=cargo.json_report(),
            workers=self._workers,
            allow_any_args=self._allow_any_args,
        )
        if self.measures:
            covering.ask(built, folder)
        if self.ledger.resumed():
            done = [test for test in self.ledger.attempts if not self.ledger.attempts.expects(test)]
            write(folder / "done.json", done)
            built.cfg["args"][:0] = ["-p", "recall_probe.resume"]
        return built

    def _ended(
        self,
        folder: Path,
        launch: Launch,
        reader: evidence.Reader,
        code: int | None,
        why: TimedOut | Cancelled | None,
    ) -> Ended:
        end = evidence.ended(folder, launch, fallback=code, why=why, printed=self.output.content())
        evidence.refuse_without_pytest(end, self.origin.target)
        how = report.termination(end)
        self.ledger.end(crashed=isinstance(how, Crashed) and not how.at_exit)
        if reader.dropped:
            self.doubts.append(f"{reader.dropped} lines of the fact stream were too long to be read.")
        self.report = evidence.json_report(folder)
        self.doubts += jsonreport.doubts(self.report, self.ledger.attempts)
        return end

    # --- watching -------------------------------------------------------------------------

    async def _watch(
        self, tree: Tree, reader: evidence.Reader, launch: Launch
    ) -> TimedOut | Cancelled | None:
        """Read along until the launch has ended (None), or until it has to be ended: the reason."""
        began, leaving, grace = time.monotonic(), math.inf, _EXIT_GRACE
        while True:
            await reader.drain()
            self._tell()
            self._spill()
            if launch.ended and leaving == math.inf:
                grace = max(_EXIT_GRACE, _EXIT_SHARE * (time.monotonic() - began))
                leaving = time.monotonic() + grace
            why = self._due(lingering=grace if time.monotonic() > leaving else 0.0)
            if why is not None:
                return why
            with anyio.move_on_after(_TICK):
                await tree.gone()
                return None

    def _due(self, *, lingering: float) -> TimedOut | Cancelled | None:
        if self._stop is not None and self._stop.is_set():
            return Cancelled()
        limit = self._request.timeout_s
        if self._left() <= 0:
            self.ledger.blame(self.ledger.running)
            return TimedOut(limit_s=limit)
        if lingering:
            self.ledger.note(
                f"pytest's session had ended, but its process did not within {lingering:.0f} s: see the stacks for"
                " what it was waiting for (a thread that is no daemon, an exit handler)."
            )
            return TimedOut(limit_s=lingering)
        if self._request.test_timeout_s and (overdue := self.ledger.overdue(self._request.test_timeout_s)):
            self.ledger.blame(overdue)
            return TimedOut(limit_s=self._request.test_timeout_s, test=overdue[0])
        return None

    async def _end(
        self, folder: Path, tree: Tree, reader: evidence.Reader, why: TimedOut | Cancelled
    ) -> None:
        """Ask for stacks, interrupt, and give the teardowns a moment; leaving the tree's block kills."""
        evidence.note_why(folder, why)
        grace = _STOP_GRACE
        if isinstance(why, TimedOut):
            grace = self._grace()
            tree.tell(b"D")
            with anyio.move_on_after(_DUMP):
                await tree.gone()
        tree.tell(b"I")
        with anyio.move_on_after(grace):
            while True:
                await reader.drain()
                with anyio.move_on_after(_TICK):
                    await tree.gone()
                    return

    def _grace(self) -> float:
        return min(_GRACE, self._request.timeout_s / 5)

    def _left(self) -> float:
        """Seconds until the run has to be asked to end, so that it has ended at its limit."""
        limit = self._request.timeout_s
        return self._began + limit - self._grace() - min(2 * _DUMP, limit / 10) - time.monotonic()

    def _tell(self) -> None:
        """Report progress: at most ten times a second, and only when there is some."""
        now = time.monotonic()
        at, last = self._told
        if self._on_progress is None or now - at < _PROGRESS:
            return
        ledger = self.ledger
        progress = Progress(
            done=ledger.closed,
            total=max(ledger.listed, ledger.launches[0].selected or 0) * self._request.repeat,
            failed=ledger.failed,
            current=next(reversed(ledger.running), ""),
        )
        if progress != last:
            self._told = (now, progress)
            self._on_progress(progress)

    async def measure(self, changed: covering.Lines, html: Path | None) -> None:
        """Have what all launches measured reported; a note says why where nothing was."""
        found = await covering.collect(
            self.origin.target,
            self._folder.path,
            self._folder.launches(),
            environ=command.surroundings(self.origin.target, self._environ, self._request.env),
            cargo=self._cargo,
            launcher=self._launcher,
            html=html,
            wants_html=self._request.detail,
            changed=changed,
            limit_s=min(max(self._left(), _LEAST_REPORT), _MOST_REPORT),
        )
        if isinstance(found, str):
            self.ledger.note(found)
        else:
            self.coverage = found

    def _spill(self) -> None:
        """Write down what was printed, once a second at most: for `recover`, should we be killed."""
        now = time.monotonic()
        at, size = self._spilled
        if self.output.size != size and now - at >= _SPILL:
            self._spilled = (now, self.output.size)
            self._folder.write_output(self.output.content())

    # --- the end --------------------------------------------------------------------------

    def result(self) -> tuple[Run, RunFiles]:
        if self._folder.full:
            self.ledger.note(
                "The disk that holds the files of runs is full: facts and stacks may be missing."
            )
        content = self.output.content()
        result = report.build(
            self.origin,
            self.ledger,
            self.ends,
            duration_s=time.monotonic() - self._began,
            doubts=self.doubts,
            output_tail=content.decode("utf-8", "replace"),
            output_bytes=self.output.size,
        )
        result = replace(result, coverage=self.coverage)
        if self._cache_dir is not None:
            lastfailed.settle(self._cache_dir, result)
        whole = jsonreport.rounded(self.report) if len(self.ends) == 1 else b""
        return result, RunFiles(output=content, report=whole, log=self._folder.read_log())
