"""Failures by their cause: two hundred tests under one broken fixture are one thing to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_recall.history.fingerprint import digest, ended, first_line, normalise
from pytest_recall.model import Failure, FailureHistory, Outcome, Phase, Run, TimedOut

_ENDED = frozenset({Outcome.TIMED_OUT, Outcome.CRASHED})
_KNOWN_BY = 20  # fingerprints of one group that are looked up
_TELLING = 16  # characters; `KeyError: 'id'` may come from anywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One cause: the first failure as its example, and all the tests or collectors that it broke.

    A test that hung or died is a group of its own, where `failure` may be None: then its outcome
    says everything there is. So may it be for an imported failure without any details.
    """

    fingerprint: str  # of the example
    outcome: Outcome
    phase: Phase
    failure: Failure | None
    tests: tuple[str, ...]  # in order of the run, each once
    also: tuple[str, ...] = ()  # the other fingerprints in it

    @property
    def known_by(self) -> tuple[str, ...]:
        """The fingerprints that memory may know it by, its own first; not all, where there are many."""
        return (self.fingerprint, *self.also[:_KNOWN_BY]) if self.fingerprint else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bad:
    """One failure of one test; it has its cause in common with any other that shares one of `causes`."""

    causes: tuple[str, ...]
    fingerprint: str
    outcome: Outcome
    phase: Phase
    failure: Failure | None
    test: str


def group(run: Run) -> list[Group]:
    """What went wrong, a group a cause: first what hung or died, then collection, then by the number of tests."""
    groups = [
        Group(
            fingerprint=found[0].fingerprint,
            outcome=found[0].outcome,
            phase=found[0].phase,
            failure=found[0].failure,
            tests=tuple(dict.fromkeys(bad.test for bad in found)),
            also=tuple(
                dict.fromkeys(bad.fingerprint for bad in found if bad.fingerprint != found[0].fingerprint)
            ),
        )
        for found in _together(_every(run))
    ]
    return sorted(groups, key=_rank)


def _together(failures: Iterator[_Bad]) -> list[list[_Bad]]:
    """*failures* by what they share, directly or through others (union of sets; nearly linear)."""
    every = list(failures)
    parents = list(range(len(every)))

    def leader(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[str, int] = {}
    for index, bad in enumerate(every):
        for cause in bad.causes:
            one, other = sorted((leader(first.setdefault(cause, index)), leader(index)))
            parents[other] = one
    found: dict[int, list[_Bad]] = {}
    for index, bad in enumerate(every):
        found.setdefault(leader(index), []).append(bad)
    return list(found.values())


def _every(run: Run) -> Iterator[_Bad]:
    for test in run.tests.others:
        last = test.decisive
        if last.outcome in _ENDED:
            yield _fatal(last.outcome, test.id, next(iter(last.failures), None), last.phase)
        elif last.outcome.bad and not last.failures:
            bare = digest("bare", last.outcome, last.phase)
            yield _Bad(
                causes=(bare,),
                fingerprint="",
                outcome=last.outcome,
                phase=last.phase,
                failure=None,
                test=test.id,
            )
        elif last.outcome.bad:
            yield from (_failing(last.outcome, test.id, failure) for failure in last.failures)
    for collector in run.collectors:
        if collector.failure:
            yield _failing(collector.outcome, collector.id, collector.failure)
        elif collector.outcome.bad:
            yield _fatal(collector.outcome, collector.id, None, "collect")
    yield from _unseen_culprits(run)


def _unseen_culprits(run: Run) -> Iterator[_Bad]:
    """Culprits that never made it into the tests: still the first thing a reader needs."""
    culprits = set(run.culprits)
    seen = culprits.intersection(run.tests.ids) if culprits else culprits
    hung = {end.test for end in run.terminations if isinstance(end, TimedOut)}
    for culprit in run.culprits:
        if culprit not in seen:
            late = culprit in hung or (hung == {""} and len(run.terminations) == 1)
            yield _fatal(Outcome.TIMED_OUT if late else Outcome.CRASHED, culprit, None, "call")


def _fatal(outcome: Outcome, test_id: str, failure: Failure | None, phase: Phase) -> _Bad:
    own = failure.fingerprint.strict if failure else ended(outcome, test_id).strict
    return _Bad(causes=(own,), fingerprint=own, outcome=outcome, phase=phase, failure=failure, test=test_id)


def _failing(outcome: Outcome, test_id: str, failure: Failure) -> _Bad:
    return _Bad(
        causes=_causes(failure, test_id),
        fingerprint=failure.fingerprint.group,
        outcome=outcome,
        phase=failure.phase,
        failure=failure,
        test=test_id,
    )


def _causes(failure: Failure, test_id: str) -> tuple[str, ...]:
    """What else would have this failure's cause: the same exception at the same place, and two that differ in place.

    One test function fails with many parameters, and as many messages, at one place: the frames are
    the cause. An exception that says something is the same one wherever it surfaces: a missing
    module or fixture is reported at each file or test that asks, a broken dependency at each use.
    An assertion says only what it compared.
    """
    causes = [failure.fingerprint.group]
    function, _, parameters = test_id.partition("[")
    if parameters and failure.phase == "call":
        causes.append(digest("parameters", failure.fingerprint.loose, function))
    if said := _said(failure.exception, failure.message):
        causes.append(said)
    return tuple(causes)


def _said(exception: str, message: str) -> str:
    """What an exception says, as a digest; "" where that may come from anywhere."""
    said = normalise(first_line(message))
    return digest(exception, said) if exception != "AssertionError" and len(said) > _TELLING else ""


def alike(known: Iterable[FailureHistory]) -> list[tuple[FailureHistory, ...]]:
    """Known causes that say the same and came last in one run, together, in the order of *known*.

    Memory keeps each place of a failure apart; a dependency that broke at ten places is one thing to read.
    """
    found: dict[tuple[str, str], list[FailureHistory]] = {}
    for one in known:
        said = _said(one.exception, one.message)
        found.setdefault((one.last_run, said) if said else (one.fingerprint, ""), []).append(one)
    return [tuple(together) for together in found.values()]


def _rank(group: Group) -> tuple[int, int]:
    # Python sorts stably: equal ones stay in the order in which the run met them.
    first = 0 if group.outcome in _ENDED else 1 if group.phase == "collect" else 2
    return first, -len(group.tests)
