"""One run beside another: which earlier run it can be compared with, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_recall.history import lines
from pytest_recall.history.trend import remembered, row, without_seed
from pytest_recall.model import Outcome, Run, RunRow

_GREEN = frozenset({Outcome.PASSED, Outcome.XPASSED})
_SILENT = frozenset({Outcome.SKIPPED, Outcome.XFAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Ids of tests (and of collectors that failed), in order of the later run.

    Tests that one of the runs never got to (`not_run`, or a module that could not be collected)
    are in none of the lists: nothing is known of them.
    """

    newly_failing: tuple[str, ...] = ()  # fails now, did not fail or did not exist before
    newly_passing: tuple[str, ...] = ()  # failed before, passes now
    still_failing: tuple[str, ...] = ()
    silenced: tuple[
        str, ...
    ] = ()  # failed before, now skipped, expected to fail or (in a run of ours) gone: no fix
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    collected_before: int = 0
    collected_after: int = 0


def comparable(run: Run | RunRow, rows: Sequence[RunRow]) -> RunRow | None:
    """The last earlier run of the same selection that tells of single tests; of the same space, environment and line of work if any."""
    now = row(run) if isinstance(run, Run) else run
    environment = without_seed(now.environment)
    earlier = [
        old
        for old in rows
        if remembered(old) and old.scope == now.scope and old.id < now.id and not lines.elsewhere(old, now)
    ]
    return max(
        earlier,
        key=lambda old: (
            old.space == now.space,
            without_seed(old.environment) == environment,
            lines.same(old, now),
            old.id,
        ),
        default=None,
    )


def compare(before: Run, after: Run) -> Difference:
    """What *after* shows that *before* did not, and the reverse.

    A report of a run says nothing of what was asked for: a test that an imported one lacks may not have been
    chosen, or stand in another report, so that nobody is told to have silenced it.
    """
    old, new = _outcomes(before, after)
    unknown_old, unknown_new = _unknown(before, new), _unknown(after, old)
    failing = [test for test, outcome in new.items() if outcome.bad and test not in unknown_old]
    failed = [test for test, outcome in old.items() if outcome.bad]
    red = set(failed)
    mended = _mended(before, new)
    known = unknown_old | {one.id for one in after.collectors}
    gone = {test for test in old if test not in new and test not in unknown_new and test not in mended}
    chose = not after.source.startswith("import:")
    return Difference(
        newly_failing=tuple(test for test in failing if test not in red),
        newly_passing=tuple(test for test in failed if new.get(test) in _GREEN or test in mended),
        still_failing=tuple(test for test in failing if test in red),
        silenced=tuple(test for test in failed if new.get(test) in _SILENT or (test in gone and chose)),
        appeared=tuple(test for test in new if test not in old and test not in known),
        vanished=tuple(test for test in old if test in gone),
        collected_before=before.collected,
        collected_after=after.collected,
    )


def _outcomes(before: Run, after: Run) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    """What became of each test in both; where they ran the same ones, of those that did not just pass twice."""
    if before.collectors or before.tests.ids != after.tests.ids:
        return _ends(before, before.tests.ids), _ends(after, after.tests.ids)
    told = {*before.tests.told, *after.tests.told}
    ids = [before.tests.ids[place] for place in sorted(told)]
    return _ends(before, ids), _ends(after, ids)


def _ends(run: Run, ids: Sequence[str]) -> dict[str, Outcome]:
    found = dict.fromkeys(ids, Outcome.PASSED)
    for test in run.tests.others:
        if test.outcome is Outcome.NOT_RUN:
            found.pop(test.id, None)
        else:
            found[test.id] = test.outcome
    return found | {one.id: one.outcome for one in run.collectors if one.outcome.bad}


def _unknown(run: Run, ids: Iterable[str]) -> set[str]:
    """Those of *ids* that *run* could have run and never got to."""
    missed = set(run.not_run) | {test.id for test in run.tests.others if test.outcome is Outcome.NOT_RUN}
    lost = {one.id for one in run.collectors}
    if not (missed or lost):
        return set()
    return {test for test in ids if test in missed or (lost and not lost.isdisjoint(_parents(test)))}


def _mended(before: Run, new: Iterable[str]) -> set[str]:
    """The collectors that failed in *before* and under which there are tests now."""
    lost = {one.id for one in before.collectors if one.outcome.bad}
    return {part for test in new for part in _parents(test) if part in lost} if lost else set()


def _parents(test_id: str) -> Iterable[str]:
    """The collectors above a node id: its classes, its module, the folders of that."""
    path, *names = test_id.split("::")
    yield from ("::".join([path, *names[:n]]) for n in range(len(names)))
    folders = path.split("/")
    yield from ("/".join(folders[:n]) for n in range(1, len(folders)))
