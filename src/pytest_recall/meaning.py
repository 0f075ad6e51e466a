"""What a run means: its failures by cause, each with its verdict, what mended it before, and what was said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import is_
from typing import TYPE_CHECKING

from pytest_recall import learning, resembling, strangers
from pytest_recall.errors import listed, quoted
from pytest_recall.history import compare, groups, similar, trend, verdict
from pytest_recall.model import FailureHistory, Note, Run, RunRow, Status, TestHistory, Transition
from pytest_recall.proof import kept
from pytest_recall.store import lacking, records
from pytest_recall.workspace import Workspace

if TYPE_CHECKING:
    from pytest_recall.history.around import Hint
    from pytest_recall.history.proof import Proof

_JUDGED = 200  # failing tests of one run that are judged by their own history


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One cause of failure in a run, with what history says of it."""

    group: groups.Group
    judgement: verdict.Judgement
    seen: similar.Match | None  # before this run; by the fingerprint, or else what it is like
    fix: Transition | None = None  # what mended it before
    fix_alike: Transition | None = None  # what mended the other cause that it is like
    notes: tuple[Note, ...] = ()  # what was said of it or of its tests, the latest first
    hints: tuple[Hint, ...] = ()  # what to do about it, the surest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run and what it means."""

    run: Run
    groups: tuple[Explained, ...] = ()
    before: RunRow | None = None  # the last comparable run
    difference: compare.Difference | None = None  # from that run to this
    notes: tuple[Note, ...] = ()  # what was said of this run
    hints: tuple[Hint, ...] = ()  # where there was no session: what to do about that
    warnings: tuple[str, ...] = ()

    def weight(self) -> int:
        """What it takes to keep it at hand, in tests."""
        return len(self.run.tests)


@lacking.told
async def explain(space: Workspace, run: Run, *, patient: bool = False) -> Report:
    """What *run* means, by what was known of its tests and what was proven since.

    An answer never waits long for the store, and for likeness only where it is *patient*.
    """
    row = trend.row(run)
    rows = await space.store.runs(limit=50, scope=row.scope, before=run.id, asked=True)
    before = compare.comparable(row, rows)
    earlier = await space.store.run(before.id) if before else None
    causes = groups.group(run)
    bad = [test_id for cause in causes for test_id in cause.tests][:_JUDGED]
    histories = await space.store.tests(bad) if bad else {}
    prints = [name for cause in causes for name in cause.known_by]
    known = await space.store.failures(fingerprints=prints) if prints else []
    seen = _seen(causes, known, run)
    learnt = await learning.recall(space, run, causes, histories)
    like = await resembling.alike(space, run, causes, seen, patient=patient)
    mended = await learning.mended(space, [match.failure.fingerprint for match in like.values()])
    proven = await kept.of(space, run)
    alike = {test for failure in known for test in failure.tests} - set(bad)
    others = await space.store.tests(sorted(alike)) if alike else {}
    judgements = _judged(space, run, earlier, causes, histories, others, proven.proofs, learnt)
    from pytest_recall import advice, suggestions  # noqa: PLC0415 - no server needs them before its first failure

    advised = await advice.advise(space, run, causes, histories, earlier)
    said = [learnt.about(*cause.known_by, *cause.tests) for cause in causes]
    explained = tuple(
        Explained(
            group=cause,
            judgement=judgement,
            seen=match,
            fix=learnt.fixes.get(cause.fingerprint),
            fix_alike=mended.get(match.failure.fingerprint) if match else None,
            notes=tuple(note for note in notes if not suggestions.ours(note)),
            hints=suggestions.known(hints, notes),
        )
        for cause, judgement, hints, notes in zip(causes, judgements, advised.causes, said, strict=True)
        for match in [seen.get(cause.fingerprint) or like.get(cause.fingerprint)]
    )
    difference = compare.compare(earlier, run) if earlier else None
    weakened = await learning.weakened(space, run, difference.newly_passing[:_JUDGED]) if difference else {}
    return Report(
        run=run,
        groups=explained,
        notes=learnt.about(run.id),
        hints=advised.start,
        before=before,
        difference=difference,
        warnings=(
            *(f"Weakened, not mended: {quoted(test)}: {'; '.join(how)}." for test, how in weakened.items()),
            *_fewer(run, difference, before),
            *proven.remarks,
            *run.notes,
            *run.doubts,
            *space.store.troubles,
            *filter(None, [await strangers.trouble(space)]),
        ),
    )


def _judged(  # noqa: PLR0917 - all that a verdict may look at
    space: Workspace,
    run: Run,
    earlier: Run | None,
    causes: Sequence[groups.Group],
    histories: Mapping[str, TestHistory],
    others: Mapping[str, TestHistory],
    proofs: Mapping[str, Proof],
    learnt: learning.Remembered,
) -> Sequence[verdict.Judgement]:
    """A judgement for each of *causes*: the one of before, where all that it was made of is the same."""
    key = (run.id, earlier.id if earlier else "", dict(proofs), learnt.fixed, learnt.unmended)
    made_of = (*histories.values(), *others.values())
    found: Sequence[verdict.Judgement]
    before, known, found = space.explained
    if before != key or len(known) != len(made_of) or not all(map(is_, known, made_of)):
        found = verdict.judge_groups(
            causes,
            histories,
            run,
            earlier,
            proofs=proofs,
            known_flaky=verdict.flaky_prints(others.values()),
            fixed=learnt.fixed,
            unmended=learnt.unmended,
        )
        space.explained = key, made_of, found
    return found


def _seen(
    causes: Sequence[groups.Group], known: Iterable[FailureHistory], run: Run
) -> dict[str, similar.Match]:
    """What is known from before *run* of those *causes* that came before, by their fingerprints."""
    earlier = {one.fingerprint: _before(one, run.id) for one in known if one.first_run < run.id}
    return {
        cause.fingerprint: similar.same(earlier[came[0]], cause.tests)
        for cause in causes
        if (came := [name for name in cause.known_by if name in earlier])
    }


def _before(known: FailureHistory, run_id: str) -> FailureHistory:
    """What was known of a cause before that run: without the run itself, its reruns and what came later."""
    earlier = [one for one in known.runs if one < run_id]
    if not earlier or len(earlier) == len(known.runs):
        return known
    return replace(
        known,
        count=known.count - len(known.runs) + len(earlier),
        last_run=max(earlier),
        last_seen=records.moment(max(earlier)) / 1_000,
    )


def _fewer(run: Run, difference: compare.Difference | None, before: RunRow | None) -> tuple[str, ...]:
    if difference is None or before is None or difference.collected_after >= difference.collected_before:
        return ()
    if not run.collected and run.status in {Status.USAGE_ERROR, Status.INTERNAL_ERROR}:
        return ()  # pytest never came to that, and the run says why
    return (
        (
            f"{difference.collected_after} tests collected, {difference.collected_before} last time. "
            f"Gone: {listed(difference.vanished, most=3)}. (Compared with run {before.id}.)"
        ),
    )
