"""The fact stream's reader: typed, bounded events from well-formed lines, and nothing worse from any others."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.running import events
from pytest_recall.running.ledger import Ledger

KINDS = sorted(events._READERS)
FIELDS = [
    "t",
    "id",
    "was",
    "when",
    "outcome",
    "status",
    "dur",
    "worker",
    "failure",
    "sections",
    "props",
    "subtest",
    "tests",
    "n",
]
FIELDS += [
    "deselected",
    "exit",
    "failed",
    "plugins",
    "version",
    "teardown_ok",
    "subtests",
    "crashed",
    "count",
    "lost",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FACT = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8)


def line(kind: str, **fields: Any) -> bytes:
    return json.dumps({"e": kind, "t": 1.5} | fields).encode()


def test_start_is_read() -> None:
    assert events.decode(line("start", id="a.py::test_a", worker="gw1")) == events.Start(
        "a.py::test_a", "gw1", None
    )


def test_start_may_tell_that_the_test_before_it_passed() -> None:
    event = events.decode(line("start", id="a.py::test_b", was=["a.py::test_a", 12, 2_000_345, 6]))

    before = events.Finish("a.py::test_a", 12e-6, 2.000345, 6e-6, "", torn_down=True, subtests=0)
    assert event == events.Start("a.py::test_b", "", before)


@pytest.mark.parametrize("was", [7, [], ["a", 1, 2], ["a", 1, 2, 3, 4], {"0": "a"}, "abcd"])
def test_start_whose_word_of_the_test_before_is_damaged_is_a_start(was: object) -> None:
    assert events.decode(line("start", id="b", was=was)) == events.Start("b", "", None)


def test_failed_phase_keeps_what_the_target_saw() -> None:
    failure = {
        "type": "pkg.Error",
        "message": "no",
        "frames": [["a.py", 3, "test_a", "raise"], "rubbish"],
        "text": "E no",
        "locals": [["x", "1"]],
    }
    event = events.decode(
        line(
            "phase", id="a", when="call", outcome="failed", dur=2, failure=failure, sections={"stdout": "hi"}
        )
    )

    assert isinstance(event, events.PhaseEnd)
    assert event.duration == 2.0
    assert event.sections == (("stdout", "hi"),)
    assert event.fault == events.Fault(
        "pkg.Error", "no", (("a.py", 3, "test_a", "raise"), ("", 0, "", "")), "E no", "", (("x", "1"),)
    )


def test_unknown_kind_is_no_event() -> None:
    assert events.decode(line("later")) is None


def test_torn_line_is_no_event() -> None:
    assert events.decode(line("start", id="a")[:-1]) is None


def test_two_facts_on_one_line_are_no_event() -> None:
    assert events.decode(line("start", id="a") * 2) is None


def test_exit_that_is_no_number_never_reads_as_zero() -> None:
    for value in ("0", None, False, 0.0, [0]):
        event = events.decode(line("sessionfinish", exit=value))
        assert isinstance(event, events.SessionFinish)
        assert event.exit == -1


def test_lone_surrogates_become_text_that_can_be_encoded() -> None:
    event = events.decode(b'{"e":"start","t":1,"id":"a[\\ud800]"}')

    assert isinstance(event, events.Start)
    assert event.id == "a[\\ud800]"


def test_numbers_out_of_all_measure_are_nothing() -> None:
    event = events.decode(b'{"e":"finish","t":1e999,"id":"a","setup":' + b"9" * 300 + b',"teardown":NaN}')

    assert event == events.Finish("a", 0.0, None, 0.0, "", False, 0)


def test_listed_functions_name_every_test() -> None:
    event = events.decode(
        line("file", id="a.py", tests={"test_a": {}, "C::test_b": {"params": ["1", "[x]"]}})
    )

    assert isinstance(event, events.Listed)
    assert list(event.ids()) == ["a.py::test_a", "a.py::C::test_b[1]", "a.py::C::test_b[[x]]"]


def test_lines_are_put_together_from_any_pieces() -> None:
    lines = events.Lines()
    pieces = [b"one\ntw", b"o", b"\n", b"\nthree"]

    assert [found for piece in pieces for found in lines.feed(piece)] == [b"one", b"two"]
    assert list(lines.feed(b"\n")) == [b"three"]


def test_line_without_end_is_dropped_and_counted() -> None:
    lines = events.Lines()
    chunk = b"x" * 2**20

    found = [line for _ in range(40) for line in lines.feed(chunk)]

    assert found == []
    assert lines.dropped == 1
    assert list(lines.feed(b"\nnext\n")) == [b"next"]
    assert sys.getsizeof(lines._rest) < 2 * events.MOST_LINE


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_nothing(data: bytes) -> None:
    events.decode(data)


@given(st.lists(st.tuples(st.sampled_from(KINDS), FACT), max_size=12))
def test_any_facts_add_up_to_values_that_can_be_written(facts: list[tuple[str, dict[str, Any]]]) -> None:
    ledger = Ledger(root="/project", clock=lambda: 0.0)
    ledger.begin(0)
    for kind, fields in facts:
        event = events.decode(json.dumps({"e": kind} | fields).encode())
        if event is not None:
            ledger.add(event)
    ledger.end(crashed=True)

    str((ledger.attempts, ledger.collectors, ledger.waiting, ledger.warned(), ledger.notes)).encode()
    assert not ledger.running


def test_nesting_without_end_is_nothing() -> None:
    assert events.decode(b'{"e":"start","id":' + b"[" * 200_000) is None
