"""A Run as bytes and back: small where tests simply passed, whole where they did not.

A test that passed at its one attempt, with nothing to tell, is a place in the *roster* (the list of
node ids, which most runs of a suite share) and three durations in the *columns*. Every other test is
written out. All of it is exact but the durations of such plain tests: they come back within 0.1 ms
or 1 %, whichever is more. Reading trusts nothing: any bytes give a Run or an `UnreadableRun`.
"""

from __future__ import annotations

import json
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from operator import attrgetter
from typing import Any

from pytest_recall.errors import UnreadableRun
from pytest_recall.model import Attempt, Cost, Failure, Outcome, Phase, Run, Test
from pytest_recall.store import columns, shape

FORMAT = 2
_WITH_COSTS = 2  # the format of a run with a column of costs; without, it is that of before
MOST = 64 << 20  # bytes of a run, a roster or columns, unpacked

_WIDEST = 2**31 - 1
_INLINE = 200  # ids; a shorter roster is not worth a place of its own

_PARSE_ERRORS = (ValueError, RecursionError, KeyError, TypeError, IndexError, OverflowError, zlib.error)


class FromLater(UnreadableRun):
    """A run in a format that a later version made: nothing is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A run as it is stored: JSON, the columns, and the roster that it refers to by digest."""

    head: bytes
    columns: bytes
    digest: str = ""  # of the roster; "" when the ids are in the head
    roster: bytes = b""


class Roster:
    """The node ids of a run, and where each of them stands."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.ids = ids
        self._places: dict[str, int] | None = None

    @cached_property
    def files(self) -> list[str]:
        """The files of the tests, sorted."""
        return _files(self.ids)

    def place(self, test_id: str) -> int | None:
        if self._places is None:
            self._places = {test_id: place for place, test_id in enumerate(self.ids)}
        return self._places.get(test_id)


Rosters = Callable[[str], Roster]  # by digest; raises UnreadableRun


class Record:
    """A stored run, opened but not yet made into values: cheap for a few tests of many."""

    def __init__(self, packed: Packed, rosters: Rosters) -> None:
        """Raises `UnreadableRun` for whatever is not a run of ours."""
        try:
            head = parse(packed.head)
            if not isinstance(head, dict) or type(head.get("format")) is not int:
                raise shape.Misshapen("not a run of ours")
            if head["format"] > FORMAT:
                raise FromLater(
                    "A stored run was written by a later version of pytest-recall; update this one."
                )
            digest = head.get("roster")
            self._roster = rosters(digest) if digest else Roster(roster_ids(head["ids"]))
            self._count = len(self._roster.ids)
            self._rest = _rest(head["rest"], self._count)
            self._columns = _Columns(head, packed.columns, self._count)
            run = shape.load(Run, head["run"])
            self._run = replace(run, reach=_reach(head["reach"], self._roster)) if "reach" in head else run
        except _PARSE_ERRORS as error:
            raise _unreadable(error) from error
        self._told = sorted(self._rest)
        self._order: array[int] | None = None
        self.id = self._run.id
        self.size = len(packed.head) + len(packed.columns)

    @property
    def ids(self) -> Sequence[str]:
        """All tests of the run, in order of their first start."""
        places = self._columns.places
        ids = self._roster.ids
        return ids if places is None else [ids[place] for place in places]

    @property
    def told(self) -> list[str]:
        """Those that did more than simply pass."""
        places = self._columns.places
        return [self._roster.ids[at if places is None else places[at]] for at in self._told]

    def seconds(self) -> dict[str, float]:
        """The seconds of the calls of those tests that passed, without making the tests that simply did."""
        told = {test.id: test for test in self.run(frozenset(self.told)).tests}
        plain = iter(self._columns.calls())
        found: dict[str, float] = {}
        for name in self.ids:
            test = told.get(name)
            if test is None:
                found[name] = next(plain)
            elif test.outcome is Outcome.PASSED:
                found[name] = test.attempts[-1].call_s
        return found

    def run(self, only: Collection[str] | None = None) -> Run:
        """The run; with *only*, of its tests just those ids. Raises `UnreadableRun`."""
        try:
            found = enumerate(self.ids) if only is None else self._chosen(only)
            return replace(
                self._run, tests=tuple([Test(id=name, attempts=self._attempts(at)) for at, name in found])
            )
        except _PARSE_ERRORS as error:
            raise _unreadable(error) from error

    def _chosen(self, only: Collection[str]) -> Iterable[tuple[int, str]]:
        if len(only) * 4 > self._count:
            return [(at, test_id) for at, test_id in enumerate(self.ids) if test_id in only]
        if self._order is None and self._columns.places is not None:
            self._order = array("q", [0]) * self._count
            for at, place in enumerate(self._columns.places):
                self._order[place] = at
        places = ((self._roster.place(test_id), test_id) for test_id in only)
        found = [(at, test_id) for at, test_id in places if at is not None]
        return sorted((at if self._order is None else self._order[at], test_id) for at, test_id in found)

    def _attempts(self, at: int) -> tuple[Attempt, ...]:
        told = self._rest.get(at)
        if told is None:
            return (self._columns.attempt(at - bisect_left(self._told, at)),)
        return tuple([shape.load(Attempt, each) for each in told])


class Listed:
    """The list of node ids that was packed last, since the next run of a suite has the same. Safe from any thread."""

    def __init__(self) -> None:
        self._last: tuple[list[str], str, bytes] = ([], "", b"")

    def of(self, ids: list[str]) -> tuple[str, bytes]:
        """The digest and the bytes of *ids*."""
        last = self._last
        if last[0] != ids:
            roster = render(ids)
            last = self._last = (ids, roster_digest(roster), roster)
        return last[1:]


def pack(run: Run, listed: Listed | None = None) -> Packed:
    """*run* as bytes. Never fails for its size: texts of failures are dropped until it fits."""
    listed = listed or Listed()
    for lighter in (_whole, _light, _lighter, _bare):
        packed = _pack(lighter(run), listed)
        if max(len(packed.head), len(packed.roster), len(packed.columns)) <= MOST:
            return packed
    raise UnreadableRun(f"A run of {len(run.tests)} tests is larger than {MOST >> 20} MB even without texts.")


def unpack(packed: Packed, rosters: Rosters) -> Run:
    """The run again. Raises `UnreadableRun` for whatever is not a run of ours."""
    return Record(packed, rosters).run()


def sent(packed: Packed) -> dict[str, str]:
    """*packed*, with its roster, as JSON values."""
    return {
        "head": packed.head.decode("utf-8", "surrogatepass"),
        "columns": packed.columns.hex(),
        "digest": packed.digest,
        "roster": packed.roster.decode("utf-8", "surrogatepass"),
    }


def received(values: Mapping[str, str]) -> Run:
    """The run that `sent` made *values* of. Raises `UnreadableRun`."""
    roster = values["roster"].encode("utf-8", "surrogatepass")
    packed = Packed(
        head=values["head"].encode("utf-8", "surrogatepass"),
        columns=bytes.fromhex(values["columns"]),
        digest=values["digest"],
        roster=roster,
    )

    def rosters(digest: str) -> Roster:
        if roster_digest(roster) != digest:
            raise UnreadableRun("A run in the index refers to a list of tests that is not there.")
        return Roster(roster_ids(parse(roster)))

    return unpack(packed, rosters)


def lean(packed: Packed) -> Packed:
    """The same run without what only the journal keeps.

    That is what was installed, of plain tests times, workers and order, and of failures pytest's own rendering.
    """
    head = parse(packed.head)
    count = head["tests"]
    if head.pop("places", False):
        places = _Columns({**head, "places": True}, packed.columns, count).places or ()
        head["rest"] = sorted([places[at], attempts] for at, attempts in head["rest"])
    for part in ("workers", "orders", "costs"):
        head.pop(part, None)
    head["run"].get("environment", {}).pop("packages", None)
    head["lean"] = True
    failures = [f for _, attempts in head["rest"] for one in attempts for f in one.get("failures", ())]
    for failure in failures:
        for part in ("text", "locals", "captured"):
            failure.pop(part, None)
    return replace(packed, head=render(head), columns=b"")


def parse(data: bytes) -> Any:
    """JSON from hostile bytes: bounded, finite, lone surrogates kept. Raises ValueError or RecursionError."""
    if len(data) > MOST:
        raise ValueError("more than fits")
    return json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_refuse)


def render(value: object) -> bytes:
    """The inverse of `parse`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def roster_ids(value: Any) -> tuple[str, ...]:
    """*value* as node ids, checked."""
    if not isinstance(value, list) or not set(map(type, value)) <= {str}:
        raise shape.Misshapen("node ids that are no texts")
    return tuple(value)


def roster_digest(roster: bytes) -> str:
    return blake2b(roster, digest_size=16).hexdigest()


# --- packing --------------------------------------------------------------------------------


def _pack(run: Run, listed: Listed) -> Packed:
    ids = [test.id for test in run.tests]
    numbers: list[bytes] = []
    digests = _digests(run.reach, ids)
    bare = replace(run, tests=(), reach=() if digests else run.reach)
    head: dict[str, Any] = {"format": 1, "run": shape.dump(bare)} | digests
    # Workers and a random order start tests in another order each time. Their roster is sorted, so
    # that runs of one suite still share it, and the places of this run's tests in it are a column.
    if len(ids) >= _INLINE and (run.environment.workers or run.environment.seed):
        order = sorted(range(len(ids)), key=ids.__getitem__)
        places = [0] * len(ids)
        for place, at in enumerate(order):
            places[at] = place
        ids = [ids[at] for at in order]
        head["places"] = True
        numbers.append(columns.pack("i", columns.steps(places)))
    plain, told = _parted(run.tests)
    rest = [[at, [shape.dump(attempt) for attempt in run.tests[at].attempts]] for at in told]
    workers = list(dict.fromkeys(map(_WORKER, plain)))
    if workers not in ([], [""]):
        head["workers"] = workers
        seats = {worker: seat for seat, worker in enumerate(workers)}
        numbers.append(columns.pack("i", map(seats.__getitem__, map(_WORKER, plain))))
    orders = list(map(_ORDER, plain))
    if orders != list(range(len(plain))):
        head["orders"] = True
        numbers.append(columns.pack("i", columns.steps(orders)))
    times = [columns.pack_seconds(map(phase, plain)) for phase in _PHASES]
    numbers += _packed_costs(head, plain)
    head["rest"], head["tests"] = rest, len(ids)
    packed = Packed(head=b"", columns=b"".join([*times, *numbers]))
    if len(ids) < _INLINE:
        head["ids"] = ids
        return replace(packed, head=render(head))
    head["roster"], roster = listed.of(ids)
    return replace(packed, head=render(head), digest=head["roster"], roster=roster)


_PHASES = (attrgetter("setup_s"), attrgetter("call_s"), attrgetter("teardown_s"))


_LAST = 1 << 24  # of orders
_COST = 22  # bytes: five integers, and a duration
_COSTED: tuple[Phase, ...] = ("setup", "call", "teardown", "collect")


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise shape.Misshapen("costs of another number")
    return value


def _packed_costs(head: dict[str, Any], plain: Sequence[Attempt]) -> list[bytes]:
    costs = [(seat, cost) for seat, each in enumerate(map(_COSTS, plain)) if each for cost in each]
    if not costs:
        return []
    head["costs"], head["format"] = len(costs), _WITH_COSTS
    numbers = [
        columns.steps([seat for seat, _ in costs]),
        [_COSTED.index(cost.phase) for _, cost in costs],
        [min(cost.peak_kb, _WIDEST) for _, cost in costs],
        [min(cost.grown_kb, _WIDEST) for _, cost in costs],
        [min(cost.output, _WIDEST) for _, cost in costs],
    ]
    times = columns.pack_seconds(min(cost.cpu_s, columns.LONGEST_S * 0.99) for _, cost in costs)
    return [*(columns.pack("i", each) for each in numbers), times]


_WORKER = attrgetter("worker")
_ORDER = attrgetter("order")
_COSTS = attrgetter("costs")


def _files(ids: Iterable[str]) -> list[str]:
    return sorted({name.partition("::")[0] for name in ids})


def _digests(reach: tuple[tuple[str, str], ...], ids: Sequence[str]) -> dict[str, list[str]]:
    """*reach* without its files, where these are known from the ids."""
    known = dict(reach)
    files = _files(ids) if known else []
    exact = tuple([(path, known[path]) for path in files if known.get(path)]) == reach
    return {"reach": [known.get(path, "") for path in files]} if known and exact else {}


def _parted(tests: Sequence[Test]) -> tuple[list[Attempt], list[int]]:
    """The attempts of plain tests, and the places of all others."""
    plain: list[Attempt] = []
    told: list[int] = []
    # Every test of every run goes through here on the way to its answer: no call and no tuple for each.
    passed, longest = Outcome.PASSED, columns.LONGEST_S
    for at, test in enumerate(tests):
        attempts = test.attempts
        one = attempts[0]
        if (
            one.outcome is passed
            and one.phase == "call"
            and not (
                one.failures or one.repetition or one.reason or one.subtests or one.properties or one.context
            )
            and 0 <= one.setup_s < longest
            and 0 <= one.call_s < longest
            and 0 <= one.teardown_s < longest
            and 0 <= one.order < _LAST
            and len(attempts) == 1
        ):
            plain.append(one)
        else:
            told.append(at)
    return plain, told


# --- unpacking ------------------------------------------------------------------------------


class _Columns:
    """The columns of one run: sizes and bounds are checked at once, numbers made when asked for."""

    def __init__(self, head: Any, data: bytes, count: int) -> None:
        if head["tests"] != count:
            raise shape.Misshapen("a roster of another run")
        plain = count - len(head["rest"])
        self._data = data if data or not head.get("lean") else bytes(6 * plain)
        self._workers = roster_ids(head.get("workers", [""]))
        self._times = [self._data[2 * n * plain : 2 * (n + 1) * plain] for n in range(3)]
        self._at = 6 * plain
        self.places: Sequence[int] | None = None
        self._seats: Sequence[int] | None = None
        self._orders: Sequence[int] | None = None
        if head.get("places"):
            self.places = _within(accumulate(self._integers(count)), count)
        if "workers" in head:
            self._seats = _within(self._integers(plain), len(self._workers))
        if head.get("orders"):
            self._orders = _within(accumulate(self._integers(plain)), _LAST)
        self._costs: dict[int, tuple[Cost, ...]] | None = None
        self._costed = self._piece(_COST * _number(head.get("costs", 0)))
        if plain < 0 or self._at != len(self._data):
            raise shape.Misshapen("columns of another length")

    def attempt(self, seat: int) -> Attempt:
        """The one attempt of the plain test in *seat*, counted over plain tests only."""
        return Attempt(
            outcome=Outcome.PASSED,
            setup_s=columns.seconds(self._times[0], seat),
            call_s=columns.seconds(self._times[1], seat),
            teardown_s=columns.seconds(self._times[2], seat),
            worker=self._workers[self._seats[seat] if self._seats else 0],
            order=self._orders[seat] if self._orders else seat,
            costs=self._cost(seat) if self._costed else (),
        )

    def calls(self) -> list[float]:
        """The seconds of the calls of all plain tests."""
        return columns.unpack_seconds(self._times[1])

    def _piece(self, length: int) -> bytes:
        piece = self._data[self._at : self._at + length]
        self._at += length
        if len(piece) != length:
            raise shape.Misshapen("columns of another length")
        return piece

    def _cost(self, seat: int) -> tuple[Cost, ...]:
        if self._costs is None:
            self._costs = {}
            count = len(self._costed) // _COST
            parts = [columns.unpack("i", self._costed[4 * n * count : 4 * (n + 1) * count]) for n in range(5)]
            times = self._costed[20 * count :]
            for row, at in enumerate(accumulate(parts[0])):
                phase, peak, grown, output = (max(part[row], 0) for part in parts[1:])
                cost = Cost(
                    phase=_COSTED[phase % len(_COSTED)],
                    cpu_s=columns.seconds(times, row),
                    peak_kb=peak,
                    grown_kb=grown,
                    output=output,
                )
                self._costs[at] = (*self._costs.get(at, ()), cost)
        return self._costs.get(seat, ())

    def _integers(self, count: int) -> array[int]:
        piece = self._data[self._at : self._at + 4 * count]
        self._at += 4 * count
        if len(piece) != 4 * count:
            raise shape.Misshapen("columns of another length")
        return columns.unpack("i", piece)


def _within(numbers: Iterable[int], count: int) -> Sequence[int]:
    found = array("q", numbers)
    if found and not (min(found) >= 0 and max(found) < count):
        raise shape.Misshapen("a place that does not exist")
    return found


def _rest(value: Any, count: int) -> dict[int, list[Any]]:
    rest: dict[int, list[Any]] = {}
    for place, attempts in value:
        if type(place) is not int or not 0 <= place < count or type(attempts) is not list or not attempts:
            raise shape.Misshapen("a test that is not in the roster, or without attempts")
        rest[place] = attempts
    if len(rest) != len(value):
        raise shape.Misshapen("a test that is told twice")
    return rest


def _reach(value: Any, roster: Roster) -> tuple[tuple[str, str], ...]:
    digests = roster_ids(value)
    if len(digests) != len(roster.files):
        raise shape.Misshapen("a reach of other files")
    return tuple([(path, digest) for path, digest in zip(roster.files, digests, strict=True) if digest])


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _unreadable(error: Exception) -> UnreadableRun:
    return UnreadableRun(f"A stored run cannot be read: {error!s:.200}")


# --- what is dropped from a run that is too large -------------------------------------------


def _whole(run: Run) -> Run:
    return run


def _light(run: Run) -> Run:
    return _thinned(run, lambda failure: replace(failure, locals=(), captured=(), text=failure.text[:2000]))


def _lighter(run: Run) -> Run:
    return _thinned(
        run,
        lambda failure: replace(
            failure,
            locals=(),
            captured=(),
            text="",
            message=failure.message[:500],
            frames=failure.frames[-3:],
        ),
    )


def _bare(run: Run) -> Run:
    bare = _thinned(
        run,
        lambda failure: replace(
            failure, locals=(), captured=(), text="", message=failure.message[:100], frames=()
        ),
    )
    return replace(bare, output_tail="", stacks=(), warned=(), doubts=run.doubts[:100])


def _thinned(run: Run, thin: Callable[[Failure], Failure]) -> Run:
    def attempt(one: Attempt) -> Attempt:
        if not (one.failures or one.properties or one.context):
            return one
        return replace(one, failures=tuple(map(thin, one.failures)), properties=(), context=())

    tests = tuple(replace(test, attempts=tuple(map(attempt, test.attempts))) for test in run.tests)
    note = "The texts of this run's failures were too large to keep whole."
    return replace(run, tests=tests, notes=(*run.notes, note))
