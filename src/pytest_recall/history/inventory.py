"""Every distinct failure that is known, and how it stands now: failing, flaky, mended, gone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_recall.model import FailureHistory, Note, RunRow, TestHistory


class State(StrEnum):
    """How one cause of failure stands."""

    FAILING = "failing"  # a test's last outcome is this failure
    FLAKY = "flaky"  # not now, but a test that it broke passes and fails on the same code
    ELSEWISE = "fails_otherwise"  # its tests still fail, from another cause
    MENDED = "mended"  # every test that it broke has passed since
    GONE = "gone"  # no test that it broke is collected any more
    QUIET = "quiet"  # it did not come in the last run, and its tests are not known singly


ORDER = tuple(State)  # what needs a look first


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One distinct failure."""

    failure: FailureHistory
    state: State
    tests: tuple[str, ...]  # of those that it broke, the ones that it breaks now, else all
    notes: tuple[Note, ...] = ()  # what was said of it, the latest first


def inventory(
    failures: Iterable[FailureHistory],
    histories: Mapping[str, TestHistory],
    notes: Sequence[Note],
    last: RunRow | None,
    *,
    flaky: Collection[str] = (),
) -> list[Known]:
    """All *failures* in the order in which they need a look; *last* is the newest run, *flaky* the tests that are judged so."""
    said: dict[str, list[Note]] = {}
    for note in notes:
        said.setdefault(note.about, []).append(note)
    found = [_known(failure, histories, said, last, flaky) for failure in failures]
    return sorted(
        found, key=lambda one: (ORDER.index(one.state), -one.failure.last_seen, one.failure.fingerprint)
    )


def _known(
    failure: FailureHistory,
    histories: Mapping[str, TestHistory],
    said: Mapping[str, list[Note]],
    last: RunRow | None,
    flaky: Collection[str],
) -> Known:
    state, tests = _state(failure, [h for test in failure.tests if (h := histories.get(test))], last, flaky)
    about = [note for name in (failure.fingerprint, *failure.tests) for note in said.get(name, ())]
    unique = {note.id: note for note in about}
    return Known(failure=failure, state=state, tests=tests, notes=tuple(unique.values()))


def _state(
    failure: FailureHistory, tests: Sequence[TestHistory], last: RunRow | None, flaky: Collection[str]
) -> tuple[State, tuple[str, ...]]:
    here = [test for test in tests if test.samples and not test.gone]

    def those(fits: Callable[[TestHistory], bool]) -> tuple[str, ...]:
        return tuple(test.id for test in here if fits(test))

    if now := those(
        lambda test: test.samples[-1].outcome.bad and test.samples[-1].group == failure.fingerprint
    ):
        return State.FAILING, now
    if (
        last is not None and failure.last_run == last.id
    ):  # of a collector, or of a test that is not known singly
        return State.FAILING, failure.tests
    if chance := those(lambda test: test.id in flaky):
        return State.FLAKY, chance
    if other := those(lambda test: test.samples[-1].outcome.bad):
        return State.ELSEWISE, other
    if here:
        return State.MENDED, failure.tests
    return (State.GONE if tests else State.QUIET), failure.tests
