"""A run survives being stored, and stored bytes that are no run are told so."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import dataclass, replace
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_recall import suite
from pytest_recall.errors import UnreadableRun
from pytest_recall.model import (
    Attempt,
    Collector,
    Cost,
    Failure,
    Fingerprint,
    Finished,
    Outcome,
    Run,
    RunRow,
    Sample,
)
from pytest_recall.model import Test as Ran
from pytest_recall.model import TestHistory as History
from pytest_recall.store import calendar, codec, columns, records, samples, shape
from pytest_recall.store.roster import Roster, digest_of, node_ids

TEXT = st.text(st.characters(), max_size=12)
NUMBER = st.floats(-1e9, 1e9, allow_nan=False)


def any_of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Values of a type of the model, from its hints."""
    made = _MADE.get(typing.get_origin(hint))
    if made is not None:
        return made(typing.get_args(hint))
    if hint in _PLAIN:
        return _PLAIN[hint]
    if issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    hints = typing.get_type_hints(hint)
    return st.builds(hint, **{name: any_of(part) for name, part in hints.items()})


def _tuple(args: tuple[typing.Any, ...]) -> st.SearchStrategy[typing.Any]:
    if args[-1] is Ellipsis:
        return st.lists(any_of(args[0]), max_size=3).map(tuple)
    return st.tuples(*map(any_of, args))


_PLAIN = {
    suite.Tests: st.just(()),  # see RUNS
    str: TEXT,
    bool: st.booleans(),
    int: st.integers(-(2**53), 2**53),
    float: NUMBER,
    type(None): st.none(),
}
_MADE = {
    typing.Literal: st.sampled_from,
    tuple: _tuple,
    dict: lambda args: st.dictionaries(TEXT, any_of(args[1]), max_size=3),
    typing.Union: lambda args: st.one_of(*map(any_of, args)),
    types.UnionType: lambda args: st.one_of(*map(any_of, args)),
}

SECONDS = st.floats(0, 1e5)
PLAIN = st.builds(
    Attempt,
    outcome=st.just(Outcome.PASSED),
    setup_s=SECONDS,
    call_s=SECONDS,
    teardown_s=SECONDS,
    worker=st.sampled_from(["", "gw0", "gw1"]),
    order=st.integers(0, 1000),
)
ATTEMPTS = st.one_of(
    PLAIN.map(lambda one: (one,)),
    st.deferred(lambda: st.lists(any_of(Attempt), min_size=1, max_size=2).map(tuple)),
)
TESTS = st.lists(st.builds(Ran, id=TEXT, attempts=ATTEMPTS), max_size=5, unique_by=lambda test: test.id).map(
    tuple
)
RUNS = st.deferred(lambda: st.builds(replace, any_of(Run), tests=TESTS))


def is_plain(attempt: Attempt) -> bool:
    bare = Attempt(outcome=Outcome.PASSED, worker=attempt.worker, order=attempt.order)
    return replace(attempt, setup_s=0.0, call_s=0.0, teardown_s=0.0) == bare


def close(kept: float, was: float) -> bool:
    return abs(kept - was) <= max(1e-4, 0.01 * was)


def same(kept: Run, was: Run) -> bool:
    """Equal, but for the times of tests that simply passed."""
    if replace(kept, tests=()) != replace(was, tests=()) or len(kept.tests) != len(was.tests):
        return False
    for one, other in zip(kept.tests, was.tests, strict=True):
        if len(other.attempts) == 1 and is_plain(other.attempts[0]):
            a, b = one.attempts[0], other.attempts[0]
            phases = ("setup_s", "call_s", "teardown_s")
            if not all(close(getattr(a, phase), getattr(b, phase)) for phase in phases):
                return False
            if replace(a, **{phase: getattr(b, phase) for phase in phases}) != b or one.id != other.id:
                return False
        elif one != other:
            return False
    return True


def rosters(packed: codec.Packed):
    def look_up(digest: str) -> Roster:
        roster = b"".join(packed.listed.pieces())
        assert digest == packed.digest == digest_of(roster)
        return Roster(node_ids(codec.parse(roster)))

    return look_up


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=20))
def test_a_list_of_ids_has_one_name_whatever_its_letters(ids: list[str]) -> None:
    assert b"".join(Roster(tuple(ids)).pieces()) == codec.render(ids)  # also of a lone surrogate


def returned(run: Run) -> Run:
    packed = codec.pack(run)
    return codec.unpack(packed, rosters(packed))


def a_run(tests: tuple[Ran, ...] = (), **fields: typing.Any) -> Run:
    return replace(BASE, tests=tests, **fields)


BASE = shape.load(
    Run,
    {
        "id": "019a0000-0000-7000-8000-000000000000",
        "started_at": 1.5,
        "duration_s": 2,
        "target": {"root": "/p", "python": "/p/bin/python", "source": ".venv"},
        "rootdir": "/p",
        "request": {},
        "status": "passed",
        "terminations": [{"is": "Finished", "exit_code": 0}],
        "revision": {"digest": "abc"},
        "environment": {},
    },
)


def test_what_test_files_reach_is_kept_without_their_names():
    tests = tuple(
        Ran(id=f"b{n % 3}/t.py::test_{n}", attempts=(Attempt(outcome=Outcome.PASSED),)) for n in range(9)
    )
    reach = (("b0/t.py", "0a1b2c3d"), ("b2/t.py", "ffffffff"))
    packed = codec.pack(a_run(tests, reach=reach))
    assert b"0a1b2c3d" in packed.head
    assert packed.head.count(b"b0/t.py") == 3  # the ids
    assert returned(a_run(tests, reach=reach)).reach == reach
    other = (("elsewhere.py", "0a1b2c3d"), *reach)
    assert returned(a_run(tests, reach=other)).reach == other
    torn = json.loads(packed.head)
    torn["reach"].pop()
    with pytest.raises(UnreadableRun, match="reach"):
        codec.Record(replace(packed, head=codec.render(torn)), rosters(packed))


@settings(deadline=None, max_examples=60)
@given(RUNS)
def test_any_run_comes_back_as_it_was(run):
    assert same(returned(run), run)
    packed = codec.pack(run)
    record = codec.Record(packed, rosters(packed))
    passed = [test for test in record.run().tests if test.outcome is Outcome.PASSED]
    assert record.seconds() == {test.id: test.attempts[-1].call_s for test in passed}


@settings(deadline=None, max_examples=60)
@given(RUNS, st.data())
def test_some_tests_of_a_run_come_back_alone(run, data):
    packed = codec.pack(run)
    wanted = {test.id for test in run.tests if data.draw(st.booleans())}
    part = codec.Record(packed, rosters(packed)).run(wanted)
    assert same(part, replace(run, tests=tuple(test for test in run.tests if test.id in wanted)))


def plain_suite(count: int, *, worker: str = "") -> tuple[Ran, ...]:
    return tuple(
        Ran(
            id=f"t.py::test_{n}",
            attempts=(Attempt(outcome=Outcome.PASSED, call_s=n / 100, order=n, worker=worker),),
        )
        for n in range(count)
    )


def test_run_whose_tests_started_in_another_order_shares_the_list_of_tests():
    spread = replace(BASE.environment, workers=2)
    tests = plain_suite(500, worker="gw1")
    one, other = a_run(tests, environment=spread), a_run(tests[::-1], environment=spread)
    assert codec.pack(one).digest == codec.pack(other).digest
    assert same(returned(one), one)
    assert same(returned(other), other)


@pytest.mark.parametrize("workers", [0, 2])
def test_few_of_many_tests_are_found_without_reading_all(workers):
    bad = Ran(id="t.py::bad", attempts=(Attempt(outcome=Outcome.FAILED, order=3),))
    run = a_run((*plain_suite(400), bad)[::-1], environment=replace(BASE.environment, workers=workers))
    packed = codec.pack(run)
    record = codec.Record(packed, rosters(packed))
    assert record.told == ["t.py::bad"]
    found = record.run({"t.py::test_7", "t.py::bad", "no such"})
    assert [test.id for test in found.tests] == ["t.py::bad", "t.py::test_7"]
    assert close(found.tests[1].attempts[0].call_s, 0.07)


def test_lean_run_keeps_outcomes_and_lets_times_of_plain_tests_go():
    bad = Ran(id="t.py::bad", attempts=(Attempt(outcome=Outcome.FAILED, call_s=1.25, order=200),))
    environment = replace(BASE.environment, workers=2)
    tests = (*plain_suite(200, worker="gw0"), bad, *plain_suite(300, worker="gw1")[200:])
    run = a_run(tests[::-1], environment=environment)
    packed = codec.pack(run)
    lean = codec.lean(packed)
    kept = codec.unpack(lean, rosters(packed))
    assert {test.id: test.outcome for test in kept.tests} == {test.id: test.outcome for test in run.tests}
    assert {test.id: test.attempts[0].call_s for test in kept.tests if test.attempts[0].call_s} == {
        "t.py::bad": 1.25
    }
    assert kept.counts == run.counts


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300])
def test_time_that_is_none_does_not_lose_the_run(value):
    attempt = Attempt(outcome=Outcome.PASSED, call_s=value)
    kept = returned(a_run((Ran(id="t", attempts=(attempt,)),), duration_s=value))
    assert [test.id for test in kept.tests] == ["t"]


def test_run_too_large_to_keep_loses_texts_and_keeps_outcomes(monkeypatch):
    print_ = Fingerprint(group="g", strict="s", loose="l")
    failure = Failure(phase="call", exception="E", message="m" * 900, fingerprint=print_, text="x" * 40_000)
    tests = tuple(
        Ran(id=f"t{n}", attempts=(Attempt(outcome=Outcome.FAILED, failures=(failure,)),)) for n in range(20)
    )
    monkeypatch.setattr(codec, "MOST", 60_000)
    kept = returned(a_run(tests))
    assert [test.outcome for test in kept.tests] == [Outcome.FAILED] * 20
    assert kept.tests[0].failures[0].fingerprint == print_
    assert "too large" in kept.notes[-1]


def test_run_of_large_reasons_and_collectors_keeps_outcomes_too(monkeypatch):
    print_ = Fingerprint(group="g", strict="s", loose="l")
    failure = Failure(phase="collect", exception="E", message="m", fingerprint=print_, text="x" * 40_000)
    collectors = tuple(Collector(id=f"c{n}", outcome=Outcome.ERROR, failure=failure) for n in range(20))
    skipped = (Attempt(outcome=Outcome.SKIPPED, reason="r" * 40_000),)
    tests = tuple(Ran(id=f"t{n}", attempts=skipped) for n in range(20))
    monkeypatch.setattr(codec, "MOST", 60_000)
    kept = returned(a_run(tests, collectors=collectors))
    assert kept.counts == a_run(tests, collectors=collectors).counts
    assert kept.collectors[0].failure.fingerprint == print_
    assert kept.tests[0].attempts[0].reason == "r" * 100


def test_costs_that_no_column_holds_are_kept_as_the_nearest_that_one_does():
    costs = (
        Cost(phase="setup", cpu_s=float("nan"), peak_kb=2**50, grown_kb=-(2**50), output=2**31),
        Cost(phase="call", cpu_s=float("inf"), peak_kb=-1, output=-(2**40)),
    )
    attempts = (Attempt(outcome=Outcome.PASSED, costs=costs),)
    failed = Ran(id="t0", attempts=(Attempt(outcome=Outcome.FAILED),))
    kept = returned(a_run((failed, Ran(id="t1", attempts=attempts), Ran(id="t2", attempts=attempts))))
    assert kept.tests[1].attempts[0].costs == kept.tests[2].attempts[0].costs
    setup, call = kept.tests[1].attempts[0].costs
    assert (setup.cpu_s, setup.peak_kb, setup.grown_kb, setup.output) == (0.0, 2**31 - 1, 0, 2**31 - 1)
    assert 0.9e6 < call.cpu_s < 1e6
    assert (call.phase, call.peak_kb, call.output) == ("call", 0, 0)


def test_two_tests_in_one_place_are_no_run():
    run = a_run(plain_suite(300), environment=replace(BASE.environment, workers=2))
    packed = codec.pack(run)
    places = columns.pack("i", columns.steps([0, 0, *range(2, 300)]))
    torn = packed.columns[: 6 * 300] + places + packed.columns[6 * 300 + len(places) :]
    assert codec.Record(packed, rosters(packed)).run().tests.ids == run.tests.ids
    with pytest.raises(UnreadableRun, match="one place"):
        codec.Record(replace(packed, columns=torn), rosters(packed))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"[]",
        b"{}",
        b'{"tests":1,"rest":[],"run":[]}',
        b'{"tests":1,"rest":[7],"run":{}}',
        b'{"tests":1,"rest":[[0,[[]]]],"run":{}}',
        b'{"tests":2,"places":true,"rest":[[9,[]]],"run":{}}',
    ],
)
def test_what_is_no_run_cannot_be_made_lean(head):
    with pytest.raises(UnreadableRun):
        codec.lean(codec.Packed(head=head, columns=b""))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_hostile_bytes_are_refused_or_read_but_never_more(data):
    packed = codec.pack(a_run((*plain_suite(3), Ran(id="x", attempts=(Attempt(outcome=Outcome.FAILED),)))))
    head = json.loads(packed.head)
    target = data.draw(st.sampled_from(["bytes", "value", "columns"]))
    if target == "bytes":
        packed = replace(packed, head=data.draw(st.binary(max_size=64)))
    elif target == "columns":
        packed = replace(packed, columns=data.draw(st.binary(max_size=64)))
    else:
        place = head if data.draw(st.booleans()) else head["run"]
        junk = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
            ),
            max_leaves=6,
        )
        names = [
            "format",
            "ids",
            "rest",
            "tests",
            "places",
            "workers",
            "orders",
            "roster",
            "run",
            "started_at",
        ]
        place[data.draw(st.sampled_from([*place, *names]))] = data.draw(junk)
        packed = replace(packed, head=json.dumps(head).encode())
    try:
        run = codec.unpack(packed, lambda _: Roster(("a", "b", "c", "x")))
    except UnreadableRun:
        return
    assert all(type(test.id) is str and test.attempts for test in run.tests)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"[" * 200_000,
        b'{"format":1,"run":' + b'{"a":' * 100_000,
        b'{"format":2}',
        b'{"format":1,"run":NaN}',
        b"9" * 10_000,
        b"\xff\xfe",
    ],
)
def test_malformed_head_is_one_clear_error(head):
    with pytest.raises(UnreadableRun):
        codec.unpack(codec.Packed(head=head, columns=b""), lambda _: Roster(()))


SAMPLES = any_of(Sample).flatmap(  # every field, also one that is new
    lambda sample: st.builds(
        Sample._replace,
        st.just(sample),
        run=st.uuids().map(str),
        at=st.integers(0, 2**40).map(lambda ms: ms / 1000),
        duration_s=st.floats(0, 1e5),
        attempt=st.integers(0, 5),
    )
)


@settings(deadline=None)
@given(st.builds(History, id=TEXT, first_seen=NUMBER, samples=st.lists(SAMPLES, max_size=6).map(tuple)))
def test_history_of_a_test_comes_back_from_its_record(history):
    own, leaves = calendar.begun("writer"), records.Leaves()
    record = records.test_record(history, "writer", own)
    rows = {
        records.leaf_id(own.name, leaf): records.leaf_record(own.name, "writer", leaf, days)
        for leaf, days in own.changed().items()
    }
    leaves.add({name: records.joined(row) for name, row in rows.items()})
    assert set(records.leaves(record)) == rows.keys()
    back = records.read_test(record, leaves.days)
    assert all(close(a.duration_s, b.duration_s) for a, b in zip(back.samples, history.samples, strict=True))
    exact = [sample._replace(duration_s=0.0) for sample in back.samples]
    assert exact == [sample._replace(duration_s=0.0) for sample in history.samples]
    assert replace(back, samples=()) == replace(history, samples=())


def test_calendar_is_read_by_a_version_that_knows_no_lines_of_work_and_from_one_that_told_none(monkeypatch):
    day = calendar.Day("019a0000-0000-7000-8000-000000000000", 0.0, "r", "e", "local", "t/b/c")
    told = calendar.pack([day, day._replace(line="t/b/d+")])
    assert [one.line for one in calendar.unpack(told)] == ["t/b/c", "t/b/d+"]

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Before:
        tails: tuple[str, ...]
        cells: tuple[tuple[str, str, str], ...]
        lines: typing.ClassVar = ()

    monkeypatch.setattr(calendar, "_Told", Before)
    assert calendar.unpack(told) == [day._replace(line="")] * 2
    monkeypatch.undo()
    plain = b'{"tails": ["8000000000000000"], "cells": [["r", "e", "local"]]}'
    size = len(told) - 4 - int.from_bytes(told[:4], "little")
    numbers = calendar.pack([day])[-size // 2 :]
    assert calendar.unpack(len(plain).to_bytes(4, "little") + plain + numbers) == [day._replace(line="")]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_history_are_refused(data):
    with pytest.raises((ValueError, RecursionError)):
        samples.unpack(data, records.Leaves().days)


@settings(deadline=None)
@given(any_of(RunRow).map(lambda row: replace(row, id="019a0000-0000-7000-8000-000000000000")))
def test_row_of_a_run_comes_back_from_its_record_within_the_limits(row):
    record = records.run_record(row, "writer")
    assert records.read_run(record) == row
    assert len(record) <= 32
    assert all(len(str(value).encode()) <= 4096 for value in record.values())


@given(st.text(st.characters()))
def test_text_in_metadata_is_ascii_and_comes_back(text):
    packed = records.ascii_text(text)
    packed.encode("ascii")
    back = records.read_ascii(packed)
    # Two halves of a pair that stand side by side are one character in JSON.
    assert back.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


def test_ended_ways_are_told_apart():
    assert returned(BASE).terminations == (Finished(exit_code=0),)
