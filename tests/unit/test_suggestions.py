"""What became of a suggestion: followed where something that it names was changed, and no pass without a change counts."""

import pytest

from pytest_recall import suggestions
from pytest_recall.history.around import Hint
from pytest_recall.model import Note

CHANGE = "Look first at shop/money.py, changed since it passed. (shop/money.py is imported by the test)"
INSTALL = "Install PyYAML: `.venv/bin/python -m pip install PyYAML`. (`yaml` is the module of PyYAML)"


def note(text: str, rule: str = "change", **more) -> Note:
    made = {"id": "n", "about": "fp1:a", "kind": "suggestion", "at": 1.0, "author": f"pytest-recall/{rule}"}
    return Note(**(made | {"text": text} | more))


@pytest.mark.parametrize(
    ("text", "changed", "passes", "worked", "told"),
    [
        (CHANGE, ["shop/money.py"], True, True, "followed (shop/money.py); passed in run r"),
        (INSTALL, ["README.md", "PyYAML"], True, True, "followed (PyYAML); passed in run r"),
        (CHANGE, ["shop/cart.py"], True, None, "not followed; changed: shop/cart.py; passed in run r"),
        (
            CHANGE,
            ["shop/money.py"],
            False,
            False,
            "followed (shop/money.py); the failure is still there in run r",
        ),
    ],
)
def test_an_outcome_says_whether_it_was_followed_and_how_it_ended(text, changed, passes, worked, told):
    outcome = suggestions.judged(note(text), changed, passes=passes, run="r")
    assert (outcome.kind, outcome.about, outcome.worked, outcome.text) == ("outcome", "n", worked, told)


@pytest.mark.parametrize(
    ("changed", "passes"), [([], True), ([], False), (["shop/cart.py"], False), (["money.py"], False)]
)
def test_neither_a_pass_on_unchanged_sources_nor_another_edit_is_an_outcome(changed, passes):
    assert suggestions.judged(note(CHANGE), changed, passes=passes, run="r") is None


def test_a_name_is_a_whole_path_or_a_whole_word():
    assert suggestions.named(CHANGE, "shop/money.py")
    assert suggestions.named(INSTALL, "PyYAML")
    for other in ("money.py", "shop/money", "YAML", "shop", ""):
        assert not suggestions.named(CHANGE + INSTALL, other)


def test_a_hint_knows_how_it_worked_before_by_its_own_words():
    hint = Hint(
        rule="change", text="Look first at shop/money.py, changed since it passed.", evidence="another run"
    )
    worked = note(CHANGE, worked=True)
    assert [one.worked for one in suggestions.known([hint], [worked])] == [True]
    for other in (note(CHANGE), note(CHANGE, "upgrade", worked=True), note(INSTALL, worked=True)):
        assert [one.worked for one in suggestions.known([hint], [other])] == [None]
    assert suggestions.ours(worked)
    assert not suggestions.ours(note(CHANGE, author="Claude Code 2.1"))
