"""What a test's outcome means, from its past: one verdict, its evidence in numbers, the next step.

A *cell* is one test on one revision in one environment. Both outcomes in one cell prove a flake;
nothing else does, least of all a failure rate. Where the facts prove nothing, the verdict says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_recall.history.groups import Group
from pytest_recall.history.odds import (
    beta_rank,
    clean_passes_needed,
    noise,
    posterior_real,
    slower,
    wilson,
)
from pytest_recall.history.past import Past
from pytest_recall.history.proof import NOTHING, Proof
from pytest_recall.history.rules import GREEN, RED, Case, Verdict
from pytest_recall.history.trend import causes_of, fold, observed, row, without_seed
from pytest_recall.model import Run, Sample, TestHistory

_MEMBERS = 20  # tests of a group that are judged
_GRAVITY = (  # a group is what the gravest of its tests is, so that a known flake never hides a regression
    Verdict.REGRESSION,
    Verdict.RECURRED,
    Verdict.NEW_FAILURE,
    Verdict.NOT_ENOUGH_EVIDENCE,
    Verdict.BROKEN,
    Verdict.PRE_EXISTING,
    Verdict.ENVIRONMENT_DEPENDENT,
    Verdict.ORDER_DEPENDENT,
    Verdict.SUSPECTED_FLAKY,
    Verdict.FLAKY,
)

_NONE: Mapping[str, Proof] = {}
_NEVER: Mapping[str, float] = {}

__all__ = [
    "Judgement",
    "Verdict",
    "beta_rank",
    "clean_passes_needed",
    "judge",
    "judge_groups",
    "noise",
    "posterior_real",
    "slower",
    "wilson",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with its reasons; None where there is nothing to say: it passes, as ever."""

    verdict: Verdict | None
    evidence: str = ""  # one short sentence with numbers
    action: str = ""  # the next step
    command: str = ""  # shows it, in a shell
    failures: int = 0  # x of n attempts, in cells with at least one pass
    attempts: int = 0
    low: float = 0.0  # Wilson, 95 %
    high: float = 1.0


def judge(
    history: TestHistory | None,
    now: Sequence[Sample] = (),
    *,
    touched: Collection[str] | None = None,
    base: Sequence[Sample] = (),
    alone: Sequence[Sample] = (),
    proof: Proof = NOTHING,
    known_flaky: Collection[str] = (),
    fixed: Mapping[str, float] = _NEVER,
    unmended: Collection[str] = (),
) -> Judgement:
    """What the samples *now* of one run mean beside the *history*; without them, the latest run in it.

    *history* may have *now* in it already, and later runs. What it cannot know, and may be left out:
    *touched*, changed files since the last other outcome that the test is or imports (None: unknown);
    *base*, samples of the test at the base revision; *alone*, of the test run by itself on this
    revision; *proof*, all that was learnt on purpose, both of these too; *known_flaky*, group fingerprints proven flaky in other tests; *fixed*, group
    fingerprints of confirmed fixes that its line of work has, and when each was made; *unmended*, those that only ever went
    away when the test was weakened, or on a line that this one has nothing of.
    """
    # What was asked on purpose goes before what happened to be run.
    proof = replace(proof, base=proof.base or tuple(base), alone=(*alone, *proof.alone))
    past = Past(history, now, on_purpose={s.run for s in (*proof.again, *proof.alone)})
    if not past.now:
        return Judgement(verdict=None)
    x, n = rate = past.rate()
    low, high = wilson(x, n)
    case = Case(
        past=past,
        touched=touched,
        base=Past(None, proof.base, xfailed=True) if proof.base else None,
        proof=proof,
        known_flaky=known_flaky,
        fixed=fixed,
        unmended=unmended,
        rate=rate,
    )
    found = next(filter(None, (rule(case) for rule in (RED if past.red else GREEN))), None)
    return Judgement(
        verdict=found.verdict if found else None,
        evidence=found.evidence if found else "",
        action=found.action if found else "",
        command=found.command if found else "",
        failures=x,
        attempts=n,
        low=low,
        high=high,
    )


def judge_groups(
    causes: Iterable[Group],
    histories: Mapping[str, TestHistory],
    run: Run,
    earlier: Run | None = None,
    *,
    proofs: Mapping[str, Proof] = _NONE,
    known_flaky: Collection[str] = (),
    fixed: Mapping[str, float] = _NEVER,
    unmended: Collection[str] = (),
) -> list[Judgement]:
    """One judgement a cause of *run*: that of its gravest test, with how many tests share it.

    *histories* are those of its tests, by id, so far as they are kept; *earlier* is the last
    comparable run, which knows of the tests that have always passed and so have no history. Where
    it ran the commit on which *run* has uncommitted changes, it is the base. *proofs*, by test, are
    what was learnt on purpose: where some tests of a cause have them, those speak for it. *known_flaky*,
    *fixed* and *unmended* are as for `judge`.
    """
    causes = list(causes)
    asked = [[t for t in cause.tests if t in proofs][:_MEMBERS] or cause.tests[:_MEMBERS] for cause in causes]
    members = {test for tests in asked for test in tests}
    now = observed(run, row(run), members)
    before = observed(earlier, row(earlier), members) if earlier else {}
    base = before if earlier and _is_base(earlier, run) else {}
    causes_before = causes_of(earlier, members) if earlier and base else {}
    failed_before = {one.id for one in earlier.collectors if one.outcome.bad} if earlier else None

    shared = Counter(test for tests in asked for test in tests)

    def one(test: str, cause: Group) -> Judgement:
        if test not in now:
            return _collected(test, failed_before, cause, proofs.get(test, NOTHING))
        samples = now[test]
        if shared[test] > 1:  # a sample carries one fingerprint: of a test with two causes, judge this one
            samples = [s._replace(group=cause.fingerprint) if s.outcome.bad else s for s in samples]
        proof = proofs.get(test, NOTHING)
        proof = replace(proof, base=_as(cause, proof.base, proof.causes))
        past = fold(histories.get(test), test, (*before.get(test, ()), *proof.again, *proof.alone))
        return judge(
            past,
            samples,
            base=_as(cause, base.get(test, ()), causes_before.get(test, ())),
            proof=proof,
            known_flaky=known_flaky,
            fixed=fixed,
            unmended=unmended,
        )

    return [
        _gravest([one(test, cause) for test in tests], cause)
        for tests, cause in zip(asked, causes, strict=True)
    ]


def _as(cause: Group, base: Sequence[Sample], causes: Collection[str]) -> tuple[Sample, ...]:
    """*base* by the fingerprint of *cause*, where that is among the *causes* with which the test failed there."""
    if set(cause.known_by).isdisjoint(causes):
        return tuple(base)
    return tuple(s._replace(group=cause.fingerprint) if s.outcome.bad else s for s in base)


def flaky_prints(histories: Iterable[TestHistory]) -> frozenset[str]:
    """The fingerprints with which any of these tests failed where it also passed."""
    return frozenset().union(*(Past(history, ()).flaky_prints for history in histories))


def _is_base(earlier: Run, run: Run) -> bool:
    same = bool(run.revision.commit) and earlier.revision.commit == run.revision.commit
    # In another environment it is no word about the changes alone.
    same = same and without_seed(row(earlier).environment) == without_seed(row(run).environment)
    return same and run.revision.dirty and not earlier.revision.dirty


def _collected(
    collector: str, failed_before: Collection[str] | None, cause: Group, proof: Proof
) -> Judgement:
    """What is to be said of a collector, or a culprit that never became a test: neither has samples but on purpose."""
    if (told := _collected_at_base(cause, proof)) is not None:
        return told
    if failed_before is None:
        return Judgement(verdict=Verdict.NOT_ENOUGH_EVIDENCE, evidence="no comparable run before this one")
    if collector in failed_before:
        return Judgement(
            verdict=Verdict.NOT_ENOUGH_EVIDENCE,
            evidence="could not be collected in the last comparable run either",
        )
    return Judgement(
        verdict=Verdict.NEW_FAILURE,
        evidence="no such error in the last comparable run",
        action="Look at your last change: imports, names, syntax.",
    )


def _collected_at_base(cause: Group, proof: Proof) -> Judgement | None:
    """The same by collections on purpose, once more here and at the base; None where those leave it open."""
    here, there = [s.outcome.bad for s in proof.again], proof.base
    if not there or not all(here):
        return None
    at, change = f"the base {proof.commit[:10]}", "change" if proof.whole else "uncommitted change"
    if not there[0].outcome.bad:
        return Judgement(
            verdict=Verdict.REGRESSION,
            evidence=f"{at} collects it, here {len(here)}/{len(here)} collections failed",
            action="From the change since the base: imports, names, syntax.",
        )
    if there[0].group in cause.known_by:
        return Judgement(
            verdict=Verdict.PRE_EXISTING,
            evidence=f"cannot be collected at {at} either",
            action=f"Not from your {change}; leave it or mend it apart.",
        )
    return Judgement(
        verdict=Verdict.NOT_ENOUGH_EVIDENCE,
        evidence=f"cannot be collected at {at} either, but in another way",
    )


def _gravest(judged: Sequence[Judgement], cause: Group) -> Judgement:
    ranked = sorted(
        judged, key=lambda one: _GRAVITY.index(one.verdict) if one.verdict in _GRAVITY else len(_GRAVITY)
    )
    first, total = ranked[0], len(cause.tests)
    if total == 1:
        return first
    alike = sum(one.verdict is first.verdict for one in judged)
    shared = f"{total} failures share this cause" + (
        f" ({alike} of {len(judged)} so judged)" if alike < len(judged) else ""
    )
    return replace(first, evidence=f"{shared}; {first.evidence}" if first.evidence else shared)
