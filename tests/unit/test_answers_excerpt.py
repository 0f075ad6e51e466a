"""A few lines of source with a failure, as they were when it failed."""

from pytest_recall.answers.excerpt import excerpt
from pytest_recall.model import Failure, Fingerprint, Frame

TEXT = """\
    def test_lookup():
        print("looking up")
>       assert check(["apple", "pear"]) == 4
               ^^^^^^^^^^^^^^^^^^^^^^^^

test_shop.py:11:
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _

item = 'pear', rates = {'APPLE': 2}

    def lookup(item, rates):
        key = item.upper()
        first = 1
        second = 2
        third = 3
>       return rates[key]
E       KeyError: 'PEAR'

shop.py:8: KeyError"""


def failure(source: str, text: str = TEXT) -> Failure:
    return Failure(
        phase="call",
        exception="KeyError",
        message="'PEAR'",
        fingerprint=Fingerprint(group="", strict="", loose=""),
        frames=(Frame(path="shop.py", line=8, source=source, project=True),) if source else (),
        text=text,
    )


def test_failing_line_comes_with_the_lines_before_it() -> None:
    assert excerpt(failure("return rates[key]")) == (
        "key = item.upper()\nfirst = 1\nsecond = 2\nthird = 3\nreturn rates[key]"
    )


def test_lines_of_another_frame_are_left_out() -> None:
    assert excerpt(failure('assert check(["apple", "pear"]) == 4')) == (
        'def test_lookup():\n    print("looking up")\n    assert check(["apple", "pear"]) == 4'
    )


def test_line_alone_where_pytest_was_told_to_show_no_more() -> None:
    assert excerpt(failure("return rates[key]", text="shop.py:8: KeyError")) == "return rates[key]"


def test_failure_without_a_place_has_no_source() -> None:
    assert excerpt(failure("")) == ""
