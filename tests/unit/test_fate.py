"""Tests that are there no more, or have another name."""

from __future__ import annotations

from array import array

import pytest

from pytest_recall import survey
from pytest_recall.history.durations import Seconds
from pytest_recall.history.fate import applied, body, former, heirs, renamed
from pytest_recall.model import Fate, Outcome, Sample
from pytest_recall.model import TestHistory as History

TEXT = """
import pytest

def test_total(
    cart,
):
    # rounds
    assert cart.total() == 3

class TestCart:
    @pytest.mark.slow
    def test_total(self):
        assert Cart().total() == 4

    async def test_empty(self):
        assert not Cart()
x = 1
"""
TOTAL = "def (\n    cart,\n):\n    # rounds\n    assert cart.total() == 3"


@pytest.mark.parametrize(
    ("function", "found"),
    [
        ("test_total", TOTAL),
        ("TestCart::test_total", "def (self):\n    assert Cart().total() == 4"),
        ("TestCart::test_empty", "async def (self):\n    assert not Cart()"),
        ("test_empty", "async def (self):\n    assert not Cart()"),
        ("TestCart::test_gone", ""),
        ("test_tot", ""),
    ],
)
def test_body_of_a_function_is_its_text_without_its_name(function, found):
    assert body(TEXT, function) == found


def test_same_text_under_another_name_is_the_same_test_where_nobody_else_has_it():
    one, other, short = "def (x):\n    assert x == 1", "def (x):\n    assert x == 2", "def (): ..."
    assert renamed({"a": one}, {"b": one, "c": other}) == {"a": "b"}
    assert renamed({"a": one}, {"b": one, "c": one}) == {}
    assert renamed({"a": one, "d": one}, {"b": one}) == {}
    assert renamed({"a": short}, {"b": short}) == {}


def sample(at: float) -> Sample:
    return Sample(run=f"r{at}", at=at, revision="d", environment="e", space="local", outcome=Outcome.FAILED)


def history(test: str, *at: float) -> History:
    return History(id=test, first_seen=at[0], samples=tuple(map(sample, at)))


def test_history_goes_on_under_the_new_name_through_several():
    fates = {"a": Fate(test="a", at=2.5, became="b"), "b": Fate(test="b", at=4.5, became="c")}
    known = {"a": history("a", 1, 2), "b": history("b", 3, 4), "c": history("c", 5)}
    found = applied(known, fates)
    assert [one.at for one in found["c"].samples] == [1, 2, 3, 4, 5]
    assert {test: one.gone for test, one in found.items()} == {"a": True, "b": True, "c": False}
    assert former(["c"], fates) == {"a", "b"}
    assert heirs(["a"], fates) == {"b", "c"}
    assert heirs(["a", "b"], {**fates, "c": Fate(test="c", at=6.0)}) == {"c"}
    assert heirs(["a"], {"a": Fate(test="a", at=1.0, became="a")}) == set()
    assert former(["a"], {"a": Fate(test="a", at=1.0, became="a")}) == {"a"}


def test_test_that_is_back_is_not_gone():
    fates = {"a": Fate(test="a", at=2.5)}
    assert applied({"a": history("a", 1, 2)}, fates)["a"].gone
    assert not applied({"a": history("a", 1, 2, 3)}, fates)["a"].gone


def test_durations_follow_a_renamed_test_and_leave_out_a_gone_one():
    then = "00000000-2710-7000-8000-000000000000"  # ten seconds after the epoch
    seconds = Seconds(["t::old", "t::gone", "t::back"], array("d", [1.0, 2.0, 3.0]))
    run = survey.Timed(run=then, environment="e", seconds=seconds)
    fates = {
        "t::old": Fate(test="t::old", at=11.0, became="t::new"),
        "t::gone": Fate(test="t::gone", at=11.0),
        "t::back": Fate(test="t::back", at=9.0),
    }
    assert survey.present(run, fates).seconds == {"t::new": 1.0, "t::back": 3.0}
