"""Where tests are run on purpose: one project, for one caller, until a moment; and what such a run tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync

from pytest_recall.errors import BadRequest
from pytest_recall.history import trend
from pytest_recall.history.proof import Proof
from pytest_recall.model import Discovery, Progress, Run, RunRequest, Sample, Target
from pytest_recall.running import options, runner
from pytest_recall.workspace import Asker, Elsewhere, Workspace

_LEAST_S = 0.5
_LAUNCH_S = 0.7  # an interpreter with pytest, about
# What would select, stop, or measure, where the tests are named one by one.
_SELECTS = re.compile(
    r"--(exitfirst|maxfail|last-failed|lf|failed-first|ff|new-first|nf|stepwise|sw|deselect|ignore|cov|no-cov"
    r"|splits|group|random-order|randomly|numprocesses|dist|maxprocesses)\b.*|-[kmn].*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What runs on purpose showed of tests."""

    proofs: Mapping[str, Proof] = field(default_factory=dict)  # by test
    remarks: tuple[str, ...] = ()  # what could not be proven, and why


class Bench:
    """Runs for *asker* in one project within a limit: *until* is a moment of the event loop's clock.

    They may be made right after a run, which they *confirm*: then they are of its sources, whatever its tests wrote.
    """

    def __init__(
        self,
        space: Workspace,
        asker: Asker,
        *,
        until: float,
        confirms: Run | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        stop: anyio.Event | None = None,
    ) -> None:
        self.space = space
        self._confirms = confirms
        self._asker = asker
        self._until = until
        self._on_progress = on_progress
        self._stop = stop

    def left(self) -> float:
        """Seconds that are left; 0 once the caller has gone."""
        if self._stop is not None and self._stop.is_set():
            return 0.0
        return max(0.0, self._until - anyio.current_time())

    def fits(self, tests_s: float, launches: int = 1) -> bool:
        """Whether there is time for *launches* of tests that took *tests_s* seconds."""
        return launches * (tests_s + _LAUNCH_S) < self.left()

    async def run(self, request: RunRequest, note: str, elsewhere: Elsewhere | None = None) -> Run | None:
        """The run of *request*; None where there is no time left for it.

        Raises:
            BadRequest: what it asks for is not there (any more), or may not be run.
        """
        left = self.left()
        if left < _LEAST_S:
            return None

        def tell(progress: Progress) -> None:
            if self._on_progress is not None:
                self._on_progress(replace(progress, message=note))

        return await self.space.run(
            replace(request, timeout_s=min(left, request.timeout_s), intent=""),
            self._asker,
            run_id=await run_sync(self.space.store.journal.new_id),
            note=note,
            elsewhere=elsewhere,
            confirms=self._confirms,
            on_progress=tell,
            stop=self._stop,
        )

    async def discover(
        self, run: Run, paths: Sequence[str], *, target: Target, environ: Mapping[str, str]
    ) -> Discovery:
        """All that *target*'s pytest collects from the files of *paths*, under the conditions of *run*."""
        files = tuple(dict.fromkeys(path.partition("::")[0] for path in paths))
        return await runner.discover(
            RunRequest(tests=files, args=steady(run.request.args), env=run.request.env),
            target,
            detail="full",
            timeout_s=max(self.left(), _LEAST_S),
            spool=self.space.spool,
            cache_dir=self.space.cache_dir if target.root == str(self.space.root) else None,
            environ=environ,
            allow_any_args=self.space.settings.allow_any_args,
        )


def named(run: Run, tests: Sequence[str], **changes: Any) -> RunRequest:
    """The request of *run*, for just these *tests* of it: in this order, with all else as it was."""
    return replace(
        run.request,
        tests=tuple(place(test, run) for test in tests),
        keyword="",
        markers="",
        only="all",
        max_failures=0,
        detail=False,
        coverage=False,
        intent="",
        **changes,
    )


def repeated(run: Run, times: int) -> RunRequest:
    """The request of *run* once more, *times* times: the same tests in the same company, so in its cell."""
    if run.request.only != "all":  # which they are is another matter now
        return named(run, run.tests.ids, repeat=times, purpose="again")
    return replace(run.request, max_failures=0, detail=False, intent="", repeat=times, purpose="again")


def steady(args: Sequence[str]) -> tuple[str, ...]:
    """*args* without what selects, stops early, measures or shuffles."""
    try:
        words = options.normalise(args)
    except BadRequest:  # any are allowed here, and which word is an option's value is unknown
        return tuple(args)
    kept = [arg for arg in words if not _SELECTS.fullmatch(arg)]
    kept = [arg.replace("x", "") if re.fullmatch("-[xvql]+", arg) else arg for arg in kept]
    return tuple(arg for arg in kept if arg != "-")


def told(run: Run) -> dict[str, tuple[Sample, ...]]:
    """What became of the tests of *run* by `place`, a sample an attempt; not of those skipped or not run."""
    samples = trend.observed(run, trend.row(run))
    return {place(test, run): tuple(found) for test, found in samples.items()}


def collected(discovery: Discovery) -> set[str]:
    """Every test that *discovery* found, by `place`."""
    found = set()
    for function in discovery.functions:
        name = place(function.id, discovery)
        found |= {f"{name}[{params}]" for params in function.params}
        if len(function.params) < function.count:
            found.add(name)
    return found


def place(test: str, run: Run | Discovery) -> str:
    """*test* of *run* by its file's path from the project's folder: the same wherever that folder is."""
    path, colons, rest = test.partition("::")
    try:
        file = (Path(run.rootdir) / path).relative_to(run.target.root)
    except ValueError:
        return test
    return f"{file.as_posix()}{colons}{rest}"
