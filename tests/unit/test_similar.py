"""Known causes beside a failure: the surest first, with the words that say so."""

from __future__ import annotations

import time

from pytest_recall.history.similar import likest, matches, same
from pytest_recall.model import FailureHistory, Fingerprint


def cause(
    name: str, message: str, *, source="", path="src/shop/cart.py", tests=("t.py::a",)
) -> FailureHistory:
    return FailureHistory(
        fingerprint=name,
        exception="shop.errors.BadRebate",
        message=message,
        path=path,
        source=source,
        tests=tests,
        first_seen=1.0,
        last_seen=2.0,
        first_run="r1",
        last_run="r2",
    )


REBATE = cause("fp1:rebate", "rebate -3 below zero", source="return self.total - rebate")
TAX = cause("fp1:tax", "no tax rate for 'XX'", source="return RATES[country]", path="src/shop/tax.py")
PASTED = """
  File "/home/ada/shop/src/shop/cart.py", line 12, in pay
    return self.total - rebate
shop.errors.BadRebate: rebate -7 below zero
"""


def test_words_that_only_one_cause_has_are_the_telling_ones():
    first, second = matches(PASTED, [(TAX, 0.5), (REBATE, 0.4)])
    assert (first.failure, first.tier) == (REBATE, "lexical")
    assert {"rebate", "below", "zero"} < set(first.words)
    assert (second.failure, second.tier) == (TAX, "vector")
    assert "rebate" not in second.words


def test_same_fingerprint_goes_before_any_likeness():
    asked = Fingerprint(group="fp1:tax", strict="fp1:s", loose="fp1:l")
    found = matches(PASTED, [(REBATE, 0.99), (TAX, 0.1)], fingerprint=asked, test="t.py::b")
    assert [(match.failure, match.tier, match.likeness) for match in found] == [
        (TAX, "group", 1.0),
        (REBATE, "lexical", 0.99),
    ]
    assert matches(PASTED, [(TAX, 0.1)], fingerprint=asked, test="t.py::a")[0].tier == "strict"


def test_words_decide_between_vectors_that_know_little_and_yield_to_one_that_knows():
    asked = "BadRebate: rebate below zero"
    assert [match.failure for match in matches(asked, [(TAX, 0.30), (REBATE, 0.25)])] == [REBATE, TAX]
    assert [match.failure for match in matches(asked, [(TAX, 0.95), (REBATE, 0.60)])] == [TAX, REBATE]


def test_without_a_word_in_common_only_a_near_vector_counts():
    (found,) = matches("¿?", [(REBATE, 0.5), (TAX, 0.3)])
    assert (found.tier, found.words, found.likeness) == ("vector", (), 0.5)
    assert matches(PASTED, []) == []


def test_what_is_near_only_because_nothing_is_nearer_is_left_out():
    asked = "the rebate was refused"
    assert [match.words for match in matches(asked, [(REBATE, 0.06)])] == [("rebate",)]
    assert matches(asked, [(REBATE, 0.04), (TAX, 0.39)]) == []


def test_hostile_text_takes_linear_time():
    begin = time.process_time()
    for unit in ("a.", "a", ".", "a b ", "_"):
        matches(unit * 200_000, [(cause("f", unit * 1_000), 0.1)])
    assert time.process_time() - begin < 2.0


def test_unasked_only_what_is_near_by_vector_and_by_words_is_told():
    assert (
        likest(PASTED, [(TAX, 0.99), (REBATE, 0.86)], tests=["t.py::b"]) is None
    )  # the likest shares no words
    assert likest(PASTED, [(REBATE, 0.84)], tests=["t.py::b"]) is None
    found = likest(PASTED, [(TAX, 0.5), (REBATE, 0.86)], tests=["t.py::b"])
    assert found
    assert (found.failure, found.tier, found.likeness) == (REBATE, "lexical", 0.86)
    assert likest(PASTED, [], tests=["t.py::b"]) is None


def test_one_test_fails_for_several_causes_in_much_the_same_words():
    assert likest(PASTED, [(REBATE, 0.99)], tests=["t.py::b", "t.py::a[1]"]) is None
    other = cause(
        "fp1:other", "rebate -3 below zero", source="return self.total - rebate", tests=("t.py::c",)
    )
    found = likest(PASTED, [(REBATE, 0.99), (other, 0.9)], tests=["t.py::a"])
    assert found
    assert found.failure is other


def test_a_cause_that_broke_this_test_is_known_more_strictly_than_one_of_another():
    assert same(TAX, ["t.py::b", "t.py::a"]).tier == "strict"
    assert same(TAX, ["t.py::b"]).tier == "group"
