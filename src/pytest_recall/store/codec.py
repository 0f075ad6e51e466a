"""A Run as bytes and back: small where tests simply passed, whole where they did not.

A test that passed at its one attempt, with nothing to tell, is a place in the *roster* (the list of
node ids, which most runs of a suite share) and three durations in the *columns*. Every other test is
written out. All of it is exact but the durations of such plain tests: they come back within 0.1 ms
or 1 %, whichever is more. Reading trusts nothing: any bytes give a Run or an `UnreadableRun`.
"""

from __future__ import annotations

import json
import math
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from pytest_recall.errors import UnreadableRun
from pytest_recall.history.durations import NONE, Seconds
from pytest_recall.model import Attempt, Cost, Outcome, Phase, Run
from pytest_recall.store import columns, shape, thin
from pytest_recall.store.roster import Listed, Roster, Rosters, digest_of, files_of, node_ids
from pytest_recall.suite import NO_TESTS, Plain, Test, Tests

FORMAT = 2
_WITH_COSTS = 2  # the format of a run with a column of costs; without, it is that of before
MOST = 64 << 20  # bytes of a run, a roster or columns, unpacked

_WIDEST = 2**31 - 1
_INLINE = 200  # ids; a shorter roster is not worth a place of its own
_MANY = 8  # of so many tests one: then all of a column are made

_PARSE_ERRORS = (ValueError, RecursionError, KeyError, TypeError, IndexError, OverflowError, zlib.error)


class FromLater(UnreadableRun):
    """A run in a format that a later version made: nothing is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A run as it is stored: JSON, the columns, and the roster that it refers to by digest."""

    head: bytes
    columns: bytes
    digest: str = ""  # of the roster; "" when the ids are in the head
    roster: bytes = b""  # as an index told it
    listed: Roster | None = None  # as the run that was packed had it


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
            self._roster = rosters(digest) if digest else Roster(node_ids(head["ids"]))
            self._count = len(self._roster.ids)
            self._rest = _rest(head["rest"], self._count)
            self._columns = _Columns(head, packed.columns, self._count)
            run = shape.load(Run, head["run"])
            self._run = replace(run, reach=_reach(head["reach"], self._roster)) if "reach" in head else run
        except _PARSE_ERRORS as error:
            raise _unreadable(error) from error
        self._lean = bool(head.get("lean"))
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

    def seconds(self) -> Seconds:
        """The seconds of the calls of those tests that passed, without making the tests that simply did.

        None of a run that an index kept, which is without them.
        """
        if self._lean:
            return NONE
        column = _spread(array("d", self._columns.calls()), self._told)
        for at in self._told:
            test = Test(id="", attempts=self._attempts(at))
            column[at] = test.attempts[-1].call_s if test.outcome is Outcome.PASSED else math.nan
        if self._columns.places is not None:
            places, spread = self._columns.places, array("d", column)
            for at, place in enumerate(places):
                spread[place] = column[at]
            column = spread
        return Seconds(self._roster.ids, column, self._roster.place)

    def has(self, ids: Iterable[str]) -> set[str]:
        """Those of *ids* that this run has."""
        return {test for test in ids if self._roster.place(test) is not None}

    def passes(self, ids: Collection[str]) -> Iterator[tuple[str, float]]:
        """Those of *ids* that simply passed, and the seconds of their calls: of many runs, no test is made for that."""
        many = self._columns.calls() if len(ids) * _MANY > self._count else None
        for at, test in self._chosen(ids):
            if at not in self._rest:
                seat = at - bisect_left(self._told, at)
                yield test, self._columns.call(seat) if many is None else many[seat]

    @property
    def bare(self) -> Run:
        """The run without its tests."""
        return self._run

    def run(self, only: Collection[str] | None = None) -> Run:
        """The run; with *only*, of its tests just those ids. Raises `UnreadableRun`."""
        try:
            if only is None:
                told = {at: self._attempts(at) for at in self._told}
                tests = Tests(tuple(self.ids), told, self._columns.all(self._told, self._count))
            else:
                chosen = self._chosen(only)
                tests = Tests.of([Test(id=name, attempts=self._attempts(at)) for at, name in chosen])
            return replace(self._run, tests=tests)
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


def pack(run: Run, listed: Listed | None = None) -> Packed:
    """*run* as bytes. Never fails for its size: texts of failures are dropped until it fits."""
    listed = listed or Listed()
    for lighter in thin.STEPS:
        packed = _pack(lighter(run), listed)
        ids = packed.listed.size if packed.listed else 0
        if max(len(packed.head), ids, len(packed.columns)) <= MOST:
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
    packed = repacked(values)

    def rosters(digest: str) -> Roster:
        if digest_of(packed.roster) != digest:
            raise UnreadableRun("A run in the index refers to a list of tests that is not there.")
        return Roster(node_ids(parse(packed.roster)))

    return unpack(packed, rosters)


def repacked(values: Mapping[str, str]) -> Packed:
    """What `sent` made *values* of."""
    return Packed(
        head=values["head"].encode("utf-8", "surrogatepass"),
        columns=bytes.fromhex(values["columns"]),
        digest=values["digest"],
        roster=values["roster"].encode("utf-8", "surrogatepass"),
    )


def lean(packed: Packed) -> Packed:
    """The same run without what only the journal keeps.

    That is what was installed, of plain tests times, workers and order, and of failures pytest's own rendering.
    Raises `UnreadableRun` for whatever is not a run of ours.
    """
    try:
        return replace(packed, head=render(_leaner(parse(packed.head), packed.columns)), columns=b"")
    except (*_PARSE_ERRORS, AttributeError) as error:
        raise _unreadable(error) from error


def _leaner(head: Any, data: bytes) -> Any:
    count = head["tests"]
    if head.pop("places", False):
        places = _Columns({**head, "places": True}, data, count).places or ()
        head["rest"] = sorted([places[at], attempts] for at, attempts in head["rest"])
    for part in ("workers", "orders", "costs"):
        head.pop(part, None)
    head["run"].get("environment", {}).pop("packages", None)
    head["lean"] = True
    failures = [f for _, attempts in head["rest"] for one in attempts for f in one.get("failures", ())]
    for failure in failures:
        for part in ("text", "locals", "captured"):
            failure.pop(part, None)
    return head


def parse(data: bytes) -> Any:
    """JSON from hostile bytes: bounded, finite, lone surrogates kept. Raises ValueError or RecursionError."""
    if len(data) > MOST:
        raise ValueError("more than fits")
    return json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_refuse)


def render(value: object) -> bytes:
    """The inverse of `parse`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


# --- packing --------------------------------------------------------------------------------


def _pack(run: Run, listed: Listed) -> Packed:
    tests, ids = run.tests, run.tests.ids
    numbers: list[bytes] = []
    digests = _digests(run.reach, ids)
    bare = replace(run, tests=NO_TESTS, reach=() if digests else run.reach)
    head: dict[str, Any] = {"format": 1, "run": shape.dump(bare)} | digests
    # Workers and a random order start tests in another order each time. Their roster is sorted, so
    # that runs of one suite still share it, and the places of this run's tests in it are a column.
    if len(ids) >= _INLINE and (run.environment.workers or run.environment.seed):
        order = sorted(range(len(ids)), key=ids.__getitem__)
        places = [0] * len(ids)
        for place, at in enumerate(order):
            places[at] = place
        ids = tuple([ids[at] for at in order])
        head["places"] = True
        numbers.append(columns.pack("i", columns.steps(places)))
    head["rest"] = [[at, [shape.dump(one) for one in attempts]] for at, attempts in tests.told.items()]
    numbers += _packed_workers(head, tests)
    plain = tests.plain
    orders = tests.unless_told(plain.orders)
    if orders != array("i", range(len(orders))):
        head["orders"] = True
        numbers.append(columns.pack("i", columns.steps(orders)))
    phases = (plain.setup_s, plain.call_s, plain.teardown_s)
    times = [columns.pack_seconds(tests.unless_told(phase)) for phase in phases]
    numbers += _packed_costs(head, tests)
    head["tests"] = len(ids)
    packed = Packed(head=b"", columns=b"".join([*times, *numbers]))
    if len(ids) < _INLINE:
        head["ids"] = ids
        return replace(packed, head=render(head))
    roster = listed.of(ids)
    head["roster"] = roster.digest
    return replace(packed, head=render(head), digest=roster.digest, listed=roster)


_COST = 22  # bytes: five integers, and a duration
_COSTED: tuple[Phase, ...] = ("setup", "call", "teardown", "collect")


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise shape.Misshapen("costs of another number")
    return value


def _packed_workers(head: dict[str, Any], tests: Tests) -> list[bytes]:
    if tests.plain.workers in ([], [""]):
        return []
    seats = tests.unless_told(tests.plain.seats)
    used = list(dict.fromkeys(seats))
    workers = [tests.plain.workers[seat] for seat in used]
    if workers in ([], [""]):
        return []
    head["workers"] = workers
    places = {seat: place for place, seat in enumerate(used)}
    return [columns.pack("i", map(places.__getitem__, seats))]


def _packed_costs(head: dict[str, Any], tests: Tests) -> list[bytes]:
    told = list(tests.told)
    costs = [
        (place - bisect_left(told, place), cost)
        for place, each in sorted(tests.plain.costs.items())
        if place not in tests.told
        for cost in each
    ]
    if not costs:
        return []
    head["costs"], head["format"] = len(costs), _WITH_COSTS
    numbers = [
        columns.steps([seat for seat, _ in costs]),
        [_COSTED.index(cost.phase) for _, cost in costs],
        [max(0, min(cost.peak_kb, _WIDEST)) for _, cost in costs],
        [max(0, min(cost.grown_kb, _WIDEST)) for _, cost in costs],
        [max(0, min(cost.output, _WIDEST)) for _, cost in costs],
    ]
    times = columns.pack_seconds(min(cost.cpu_s, columns.LONGEST_S * 0.99) for _, cost in costs)
    return [*(columns.pack("i", each) for each in numbers), times]


def _digests(reach: tuple[tuple[str, str], ...], ids: Sequence[str]) -> dict[str, list[str]]:
    """*reach* without its files, where these are known from the ids."""
    known = dict(reach)
    files = files_of(ids) if known else []
    exact = tuple([(path, known[path]) for path in files if known.get(path)]) == reach
    return {"reach": [known.get(path, "") for path in files]} if known and exact else {}


# --- unpacking ------------------------------------------------------------------------------


class _Columns:
    """The columns of one run: sizes and bounds are checked at once, numbers made when asked for."""

    def __init__(self, head: Any, data: bytes, count: int) -> None:
        if head["tests"] != count:
            raise shape.Misshapen("a roster of another run")
        plain = count - len(head["rest"])
        self._data = data if data or not head.get("lean") else bytes(6 * plain)
        self._workers = node_ids(head.get("workers", [""]))
        times = memoryview(self._data)
        self._times = [times[2 * n * plain : 2 * (n + 1) * plain] for n in range(3)]
        self._at = 6 * plain
        self.places: Sequence[int] | None = None
        self._seats: Sequence[int] | None = None
        self._orders: Sequence[int] | None = None
        if head.get("places"):
            self.places = _within(accumulate(self._integers(count)), count)
            if len(set(self.places)) != count:
                raise shape.Misshapen("two tests in one place")
        if "workers" in head:
            self._seats = _within(self._integers(plain), len(self._workers))
        if head.get("orders"):
            self._orders = _within(accumulate(self._integers(plain)), Plain.LAST)
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

    def all(self, told: Sequence[int], count: int) -> Plain:
        """All of them, with a row for each of the *count* tests of the run: those in *told* are the ones that are not plain."""
        plain = Plain()
        plain.setup_s, plain.call_s, plain.teardown_s = (
            _spread(array("d", columns.unpack_seconds(times)), told) for times in self._times
        )
        plain.orders = _spread(array("i", self._orders or range(count - len(told))), told)
        plain.seats = _spread(array("i", self._seats or bytes(4 * (count - len(told)))), told)
        plain.workers = list(self._workers)
        if self._costed:
            other = frozenset(told)
            rows = [place for place in range(count) if place not in other]
            self._cost(0)
            plain.costs = {
                rows[seat]: costs for seat, costs in (self._costs or {}).items() if 0 <= seat < len(rows)
            }
        return plain

    def call(self, seat: int) -> float:
        """The seconds of the call of the plain test in *seat*."""
        return columns.seconds(self._times[1], seat)

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


def _spread(numbers: array[Any], told: Sequence[int]) -> array[Any]:
    """*numbers* with a place for each of *told*, too."""
    if not told:
        return numbers
    found = array(numbers.typecode)
    done = 0
    for before, place in enumerate(told):
        found.extend(numbers[done : place - before])
        found.append(0)
        done = place - before
    found.extend(numbers[done:])
    return found


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
    digests = node_ids(value)
    if len(digests) != len(roster.files):
        raise shape.Misshapen("a reach of other files")
    return tuple([(path, digest) for path, digest in zip(roster.files, digests, strict=True) if digest])


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _unreadable(error: Exception) -> UnreadableRun:
    return UnreadableRun(f"A stored run cannot be read: {error!s:.200}")
