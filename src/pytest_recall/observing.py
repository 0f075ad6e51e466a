"""What those who watch a project see: its metrics, after every run where that is set, and its known failures."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from math import inf
from pathlib import Path

from anyio.to_thread import run_sync
from filelock import FileLock, Timeout

from pytest_recall.errors import RecallError, UnreadableRun
from pytest_recall.history import inventory as inventories
from pytest_recall.history import tally
from pytest_recall.history.inventory import Known
from pytest_recall.history.tally import Counted, Standing, Tally
from pytest_recall.history.verdict import Verdict
from pytest_recall.judging import judged
from pytest_recall.store import codec, lacking, shape
from pytest_recall.store.journal import Journal, place
from pytest_recall.workspace import Workspace

_ROWS = 500  # among which the last run of each kind is looked for
_FAILURES = 5_000
_LOCK_S = 10.0
_BUDGET_S = 2.0  # that the answer of a run may wait for counts


@lacking.told
async def standing(space: Workspace, *, budget_s: float = inf) -> Standing:
    """How the project in *space* stands.

    What has not been counted yet is read from the journal, for at most *budget_s*; the rest comes the next time.
    """
    counted = await run_sync(_tallied, space.store.journal, time.monotonic() + budget_s)
    rows = await space.store.runs(limit=_ROWS, asked=True)
    known = [one for one in (await space.store.tests()).values() if one.samples and not one.gone]
    verdicts = Counter(one.judgement.verdict for one in await judged(space, known))
    return Standing(
        project=space.root.name or str(space.root),
        tally=counted,
        last=tally.newest(rows),
        measured=tally.newest([row for row in rows if row.coverage is not None]),
        verdicts=None
        if space.store.degraded
        else {found.value: number for found, number in verdicts.items() if found is not None},
        failing=sum(one.samples[-1].outcome.bad for one in known),
    )


def write(told: Standing, path: Path) -> int:
    """Put the metrics into the file *path*, for node_exporter's textfile collector; gives their size.

    Raises:
        BadRequest: it is a folder or a device, or cannot be written.
    """
    from pytest_recall.exports import placing, prometheus  # noqa: PLC0415 - for whoever has metrics only

    text = prometheus.text(told)
    with placing.placed(path) as out:
        out.write(text)
    return len(text)


async def after_run(space: Workspace) -> str:
    """Write and push the metrics where the settings ask for it; what went wrong, in words, or nothing."""
    file, gateway = space.settings.metrics_file, space.settings.metrics_push
    if not (file or gateway):
        return ""
    try:
        told = await standing(space, budget_s=_BUDGET_S)
        if file:
            await run_sync(write, told, space.root / file)
        if gateway:
            from pytest_recall.exports import prometheus  # noqa: PLC0415

            await run_sync(prometheus.push, told, gateway)
    except RecallError as error:
        return f"metrics not written: {error}"
    return ""


async def inventory(space: Workspace) -> list[Known]:
    """Every distinct failure that is known, those in need of a look first."""
    failures = await space.store.failures(limit=_FAILURES)
    rows = await space.store.runs(limit=1, asked=True)
    ids = sorted({test for failure in failures for test in failure.tests})
    histories = await space.store.tests(ids) if ids else {}
    notes = await space.store.notes() if failures else []
    known = [one for one in histories.values() if one.samples and not one.gone]
    flaky = {one.history.id for one in await judged(space, known) if one.judgement.verdict is Verdict.FLAKY}
    return inventories.inventory(failures, histories, notes, rows[0] if rows else None, flaky=flaky)


# --- counts that outlive the runs ------------------------------------------------------------


def _tallied(journal: Journal, until: float) -> Tally:
    """The counts of all runs that ever were in *journal*; kept beside it, and brought up to date here."""
    file = journal.folder / "metrics.json"
    try:
        with FileLock(journal.folder / "metrics.lock", timeout=_LOCK_S):
            kept = _read(file)
            now = _updated(kept, journal, until)
            if now is not kept:
                place(file, codec.render(shape.dump(now)))
            return now
    except (OSError, Timeout):  # a full disk, or another process is at it: what is known is told
        return _updated(_read(file), journal, until)


def _updated(kept: Tally, journal: Journal, until: float) -> Tally:
    paths = {path.stem: path for path in journal.paths()}
    if paths.keys() == set(kept.counted):
        return kept
    counted, spaces = set(kept.counted) & paths.keys(), dict(kept.spaces)
    for run_id in sorted(paths.keys() - counted):
        if time.monotonic() > until:
            break
        counted.add(run_id)
        with suppress(UnreadableRun):
            run = journal.read(paths[run_id])
            if not run.request.purpose:
                spaces[run.space] = tally.add(spaces.get(run.space, Counted()), run)
    return Tally(counted=tuple(sorted(counted)), spaces=spaces)


def _read(file: Path) -> Tally:
    """What *file* says. Torn, foreign, or from a later version: counting begins anew, as after any restart."""
    try:
        kept = shape.load(Tally, codec.parse(file.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return Tally()
    whole = all(len(one.spread.buckets) == len(tally.BOUNDS) + 1 for one in kept.spaces.values())
    return kept if whole else Tally()
