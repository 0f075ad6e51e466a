"""Values are described without running a line of the project's code, and in few characters."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path, PosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recall_probe.values import described, type_name, variables


class Meta(type):
    def __getattribute__(cls, name):
        raise AssertionError("a metaclass was asked")

    __repr__ = __getattribute__


class Hostile(metaclass=Meta):
    def __getattribute__(self, name):
        raise AssertionError("an attribute was asked for")

    def __repr__(self):
        raise AssertionError("a repr was asked for")

    __str__ = __len__ = __iter__ = __hash__ = __eq__ = __bool__ = __format__ = __repr__


class ListInName(list):
    def __iter__(self):
        raise AssertionError("a subclass was iterated")

    __len__ = __repr__ = __iter__


def test_hostile_values_are_named_by_their_type():
    assert described(Hostile()).endswith(".Hostile>")
    assert described([Hostile(), {"k": Hostile()}]).count("Hostile") == 2
    assert described(ListInName()).endswith(".ListInName>")
    assert described(type("list", (ListInName,), {})()).startswith("<")


def test_classes_are_named_without_asking_their_metaclass():
    assert type_name(Hostile).endswith(".Hostile")
    assert described(int) == "<class int>"


@pytest.mark.parametrize(
    "value",
    [
        Path("a") / "b",
        date(2026, 3, 2),
        datetime(2026, 3, 2, tzinfo=UTC),
        timedelta(days=2),
        Decimal("1.50"),
        UUID(int=7),
    ],
)
def test_values_of_the_standard_library_are_told_as_they_are(value):
    assert described(value) == repr(value)
    assert described([value]) == f"[{value!r}]"


def test_no_code_of_the_project_runs_for_its_kin():
    class Zone(tzinfo):
        def utcoffset(self, _):
            raise AssertionError("a zone was asked")

        __repr__ = tzname = dst = utcoffset

    class Place(PosixPath):
        def __repr__(self):
            raise AssertionError("a path was asked")

    class Wrong(ValueError):
        args = property(lambda _: 1 / 0)

        def __str__(self):
            raise AssertionError("an exception was asked")

        __repr__ = __str__

    assert described(datetime(2026, 3, 2, tzinfo=Zone())) == "<datetime.datetime>"
    assert described(Place("a")).endswith(".Place>")
    assert described(Wrong("no", Hostile())).startswith(f"{type_name(Wrong)}('no', <")


def test_containers_that_hold_themselves_end():
    loop = []
    loop.append(loop)
    assert described(loop) == "[[[[…]]]]"


def test_long_containers_say_how_much_is_left_out():
    assert described(list(range(10))) == "[0, 1, 2, 3, 4, 5, … 4 more]"
    assert described({}) == "{}"
    assert described(frozenset()) == "frozenset({})"


def test_names_of_pythons_and_pytests_own_making_are_left_out():
    shown = variables(
        {"__tracebackhide__": True, "@py_assert1": 0, "x": 1, **{f"n{i}": i for i in range(30)}}
    )
    assert shown[0] == ["x", "1"]
    assert len(shown) == 20


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.integers(500, 5000).map(lambda n: 10**n),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.integers()) | st.tuples(inner)
    ),
)


@given(plain)
def test_any_value_is_described_in_at_most_200_characters(value):
    assert len(described(value)) <= 200
