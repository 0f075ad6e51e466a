"""The tests of a run: what became of each, and all of them in little room. Values like those of `model`, which has them too.

Nearly all tests of nearly all runs are *plain*: one attempt that passed, with nothing to tell. Such a test is a row of
numbers, and a value only while somebody looks at it: 200,000 of them take 30 MB, ids included, and not 90.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, overload

Phase = Literal["collect", "setup", "call", "teardown"]
ContextKind = Literal["llm_interaction", "agent_log", "validation", "step", "metadata"]


class Outcome(StrEnum):
    """What became of one test, or of one attempt at it."""

    PASSED = "passed"
    FAILED = "failed"  # the call phase (or a subtest) failed
    ERROR = "error"  # setup, teardown or collection failed
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    TIMED_OUT = "timed_out"  # it was running when its limit, or the run's, was reached
    CRASHED = "crashed"  # it was running when its process died
    NOT_RUN = "not_run"  # selected, and never finished

    __hash__ = (
        str.__hash__
    )  # Enum's own is Python code, and each test of each run is asked for it several times

    bad: bool  # whether it keeps a run from being called passed


for _outcome in Outcome:  # no property, for the same reason
    _outcome.bad = _outcome.value in {"failed", "error", "timed_out", "crashed", "not_run"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that a test told of itself while it ran; without secrets."""

    kind: ContextKind
    phase: Phase = "call"
    name: str = ""  # of a step or a validation; of a log its level
    fields: tuple[tuple[str, str], ...] = ()
    steps: tuple[str, ...] = ()  # those it was told in, outermost first
    duration_s: float | None = None  # of a step; None where it did not end
    error: str = ""  # type of the exception that ended a step
    process: int = 0  # 0: the one that ran the test
    scope: str = (
        ""  # of the fixture that told it, where that is wider: "session", "package", "module", "class"
    )
    where: str = ""  # the node id of that scope
    worker: str = ""  # in which xdist worker, then


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one phase took beside time; told only where it took 5 ms or printed something."""

    phase: Phase
    cpu_s: float = 0.0  # of the process that ran it
    peak_kb: int = 0  # the most memory that this process ever had, at the phase's end; 0: not known
    grown_kb: int = 0  # by how much this phase raised it
    output: int = 0  # characters on stdout and stderr, where pytest captured them


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of a traceback, outermost first in a tuple of them."""

    path: str  # relative to the root where inside it, else absolute
    line: int  # 1-based
    function: str = ""
    source: str = ""  # the failing line's own text, stripped
    project: bool = False  # inside the root and in no environment's site-packages


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """`fp1:` digests of a failure's cause, from exact to broad (see `history.fingerprint`)."""

    group: str
    strict: str
    loose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One exception that failed a test, a phase of it, a subtest, or a collector."""

    phase: Phase
    exception: str  # type name, with its module unless builtin
    message: str
    fingerprint: Fingerprint
    frames: tuple[Frame, ...] = ()
    text: str = ""  # pytest's own rendering, bounded
    locals: tuple[tuple[str, str], ...] = ()  # name, bounded repr; innermost project frame
    captured: tuple[tuple[str, str], ...] = ()  # section title, tail of its text
    subtest: str = ""

    @property
    def at(self) -> Frame | None:
        """The innermost frame inside the project, else the innermost frame."""
        inside = [frame for frame in self.frames if frame.project]
        return next(reversed(inside or self.frames), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of one test."""

    outcome: Outcome
    phase: Phase = "call"  # the phase that decided
    setup_s: float = 0.0
    call_s: float = 0.0
    teardown_s: float = 0.0
    repetition: int = 0  # which round of `repeat`; reruns by a plugin stay within one
    worker: str = ""  # xdist worker, "" without
    order: int = 0  # 0-based place among the starts of the run
    reason: str = ""  # of a skip or an xfail
    failures: tuple[Failure, ...] = ()
    subtests: tuple[tuple[Outcome, int], ...] = ()  # how many subtests ended how
    properties: tuple[tuple[str, str], ...] = ()  # of `record_property`
    context: tuple[Entry, ...] = ()
    costs: tuple[Cost, ...] = ()

    @property
    def duration_s(self) -> float:
        return self.setup_s + self.call_s + self.teardown_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One node id and every attempt at it, in order."""

    id: str
    attempts: tuple[Attempt, ...]

    @property
    def decisive(self) -> Attempt:
        """The attempt that gives the outcome: the last one, or the first repetition that ended badly.

        A rerun by a plugin replaces what it reruns, as in pytest's own count; a repetition that we
        asked for does not, so that repeating a test can never hide a failure.
        """
        if len(self.attempts) == 1:  # nearly always, and it is asked for every test of a run
            return self.attempts[0]
        ends = {attempt.repetition: attempt for attempt in self.attempts}.values()
        return next((end for end in ends if end.outcome.bad), self.attempts[-1])

    @property
    def outcome(self) -> Outcome:
        return self.decisive.outcome

    @property
    def failures(self) -> tuple[Failure, ...]:
        return self.decisive.failures


class Plain:
    """Columns with a row for each test of a run; the rows of tests that are not plain mean nothing."""

    LONGEST_S = 1e6  # of a phase: what took longer is no plain test
    LAST = 1 << 24  # of the places in order, too

    __slots__ = ("_known", "call_s", "costs", "orders", "seats", "setup_s", "teardown_s", "workers")

    def __init__(self) -> None:
        self.setup_s, self.call_s, self.teardown_s = array("d"), array("d"), array("d")
        self.orders = array("i")
        self.seats = array("i")  # of the worker, in `workers`
        self.workers: list[str] = []
        self._known: dict[str, int] = {}
        self.costs: dict[int, tuple[Cost, ...]] = {}  # by row, of those that cost something

    def add(self, attempts: Sequence[Attempt]) -> bool:
        """Append a row; whether it holds all there is to tell of these *attempts* at a test."""
        one = attempts[0] if len(attempts) == 1 else _NONE
        nothing_else = not (
            one.failures or one.repetition or one.reason or one.subtests or one.properties or one.context
        )
        seconds = (one.setup_s, one.call_s, one.teardown_s)
        if (
            one.outcome is Outcome.PASSED
            and one.phase == "call"
            and nothing_else
            and self.passed(seconds, one.order, one.worker)
        ):
            if one.costs:
                self.costs[len(self.orders) - 1] = one.costs
            return True
        self.passed((0.0, 0.0, 0.0), 0, "")
        return False

    def passed(self, seconds: tuple[float, float, float], order: int, worker: str) -> bool:
        """Append the row of a test that passed after *seconds* of setup, call and teardown; whether such a row can hold it."""
        setup, call, teardown = seconds
        longest = self.LONGEST_S
        if not (
            0 <= setup < longest
            and 0 <= call < longest
            and 0 <= teardown < longest
            and 0 <= order < self.LAST
        ):
            return False
        self.setup_s.append(setup)
        self.call_s.append(call)
        self.teardown_s.append(teardown)
        self.orders.append(order)
        self.seats.append(self._seat(worker))
        return True

    def attempt(self, row: int) -> Attempt:
        """The one attempt of the test in that row."""
        return Attempt(
            outcome=Outcome.PASSED,
            setup_s=self.setup_s[row],
            call_s=self.call_s[row],
            teardown_s=self.teardown_s[row],
            worker=self.workers[self.seats[row]],
            order=self.orders[row],
            costs=self.costs.get(row, ()),
        )

    def _seat(self, worker: str) -> int:
        seat = self._known.get(worker)
        if seat is None:
            seat = self._known[worker] = len(self.workers)
            self.workers.append(worker)
        return seat


_NONE = Attempt(outcome=Outcome.NOT_RUN)


class Tests(Sequence[Test]):
    """The tests of a run, in order of their first start: what `ids` and `told` can say costs nothing for the plain ones."""

    __slots__ = ("ids", "plain", "told")

    def __init__(self, ids: tuple[str, ...], told: Mapping[int, tuple[Attempt, ...]], plain: Plain) -> None:
        self.ids = ids
        self.told = told  # all attempts of the tests that are not plain, by place, in order
        self.plain = plain

    @classmethod
    def of(cls, tests: Iterable[Test]) -> Tests:
        if isinstance(tests, Tests):
            return tests
        ids: list[str] = []
        told: dict[int, tuple[Attempt, ...]] = {}
        plain = Plain()
        for test in tests:
            if not plain.add(test.attempts):
                told[len(ids)] = test.attempts
            ids.append(test.id)
        return cls(tuple(ids), told, plain)

    @property
    def others(self) -> Iterator[Test]:
        """The tests that did more than pass."""
        return (Test(id=self.ids[place], attempts=attempts) for place, attempts in self.told.items())

    def among(self, ids: Collection[str]) -> Iterator[Test]:
        """Those with one of these *ids*."""
        return (self[place] for place, test in enumerate(self.ids) if test in ids)

    def durations(self) -> Iterator[tuple[str, float]]:
        """Each test and the seconds of its last attempt."""
        phases = zip(self.plain.setup_s, self.plain.call_s, self.plain.teardown_s, strict=True)
        for place, (test, seconds) in enumerate(zip(self.ids, map(sum, phases), strict=True)):
            attempts = self.told.get(place)
            yield test, attempts[-1].duration_s if attempts else seconds

    def unless_told(self, column: array[Any]) -> array[Any]:
        """What *column*, with a value for each test, has of the plain ones."""
        if not self.told:
            return column
        kept, start = column[:0], 0
        for place in sorted(self.told):
            kept += column[start:place]
            start = place + 1
        return kept + column[start:]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Test: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Test, ...]: ...
    def __getitem__(self, place: int | slice) -> Test | tuple[Test, ...]:
        if isinstance(place, slice):
            return tuple([self[at] for at in range(*place.indices(len(self.ids)))])
        test = self.ids[place]
        at = place + len(self.ids) if place < 0 else place
        attempts = self.told.get(at)
        return Test(id=test, attempts=(self.plain.attempt(at),) if attempts is None else attempts)

    def __iter__(self) -> Iterator[Test]:
        return map(self.__getitem__, range(len(self.ids)))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(one == another for one, another in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(self.ids)

    def __repr__(self) -> str:
        return repr(tuple(self))


NO_TESTS = Tests((), {}, Plain())
