"""What tests told of themselves stands beside the attempt that told it, whatever order the facts came in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_recall.model import Cost, Entry
from pytest_recall.running import events, telling
from pytest_recall.running.ledger import Ledger

A = "t.py::test_a"


def told(*facts: dict[str, Any]) -> Ledger:
    ledger = Ledger(root="/p", clock=lambda: 0.0)
    ledger.begin(0)
    for fact in facts:
        event = events.decode(json.dumps({"t": 1.0, **fact}).encode())
        assert event is not None
        ledger.add(event)
    return ledger


def start() -> dict[str, Any]:
    return {"e": "start", "id": A}


def ctx(text: str, **more: Any) -> dict[str, Any]:
    return {"e": "ctx", "id": A, "k": "metadata", "when": "call", "f": [["x", text]], **more}


def call(outcome: str) -> dict[str, Any]:
    return {"e": "phase", "id": A, "when": "call", "outcome": outcome, "dur": 0.1}


def finish() -> dict[str, Any]:
    return {"e": "finish", "id": A, "teardown_ok": True}


def texts(ledger: Ledger) -> list[list[str]]:
    return [[dict(entry.fields)["x"] for entry in one.context] for one in ledger.attempts[A]]


def test_an_entry_of_the_next_attempt_may_come_before_the_first_is_told() -> None:
    ledger = told(start(), ctx("1"), ctx("2", n=1), call("rerun"), start(), call("passed"), finish())

    assert texts(ledger) == [["1"], ["2"]]


def test_what_an_attempt_tells_in_its_teardown_is_its_own() -> None:
    late = ctx("1's teardown", when="teardown")
    ledger = told(start(), ctx("1"), call("rerun"), late, ctx("2", n=1), call("passed"), finish())

    assert texts(ledger) == [["1", "1's teardown"], ["2"]]


def test_a_thread_that_outlives_its_test_still_belongs_to_it() -> None:
    ledger = told(start(), call("passed"), finish(), ctx("late", n=1))

    assert texts(ledger) == [["late"]]


def test_entries_of_a_test_that_nobody_ran_are_let_go() -> None:
    ledger = told(ctx("of a nested pytest"))

    assert ledger.attempts == {}


def test_a_test_that_crashes_keeps_what_it_told() -> None:
    ledger = told(start(), {**ctx("1"), "k": "step", "step": "9.1", "name": "s"})
    ledger.end(crashed=True)

    (attempt,) = ledger.attempts[A]
    assert attempt.context == (Entry(kind="step", name="s", fields=(("x", "1"),)),)


def test_steps_nest_by_name_and_know_how_long_they_took() -> None:
    ledger = told(
        start(),
        {**ctx("1"), "k": "step", "step": "9.1", "name": "outer"},
        {**ctx("2", **{"in": "9.1"}), "k": "step", "step": "9.2", "name": "inner"},
        ctx("3", **{"in": "9.2"}),
        {"e": "stepped", "step": "9.2", "dur": 0.5, "error": "KeyError"},
        call("passed"),
        finish(),
    )

    outer, inner, inside = ledger.attempts[A][0].context
    assert (outer.duration_s, inner.duration_s, inner.error) == (None, 0.5, "KeyError")
    assert (inner.steps, inside.steps) == (("outer",), ("outer", "inner"))


def test_a_wider_fixture_speaks_for_its_scope() -> None:
    ledger = told(start(), ctx("1", scope="module", id="t.py"), call("passed"), finish())

    assert texts(ledger) == [[]]
    (entry,) = ledger.telling.scoped
    assert (entry.scope, entry.where) == ("module", "t.py")


def test_costs_stand_beside_their_attempt() -> None:
    cost = {"e": "cost", "id": A, "when": "call", "cpu": 0.25, "peak": 2048, "grown": 7, "out": 3}
    ledger = told(start(), cost, call("passed"), finish())

    assert ledger.attempts[A][0].costs == (
        Cost(phase="call", cpu_s=0.25, peak_kb=2048, grown_kb=7, output=3),
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("password=hunter2", "password=[redacted]"),
        ('{"total_tokens":31,"prompt_tokens":1.5}', '{"total_tokens":31,"prompt_tokens":1.5}'),
        ('{"token":"31"}', '{"token":"[redacted]"}'),
    ],
)
def test_secrets_are_taken_out_whoever_wrote_the_stream(text: str, kept: str) -> None:
    assert texts(told(start(), ctx(text), call("passed"), finish())) == [[kept]]


def test_no_run_can_be_flooded() -> None:
    many = [ctx("x" * 4_000) for _ in range(3_000)]

    ledger = told(start(), *many, call("passed"), finish())

    assert len(ledger.attempts[A][0].context) == telling.MOST
