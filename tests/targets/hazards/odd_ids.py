import pytest


def test_before():
    pass


@pytest.mark.parametrize("value", [1, 2, 3, 4, 5, 6], ids=["a::b", "[x]", "it's", "ü\u2028\n", "-k", "x" * 100_000])
def test_odd(value):
    assert value != 3


def test_after():
    pass
