import pytest


@pytest.mark.parametrize("number", range(500))
def test_fails(number):
    text = "x" * 10_000
    print(text)
    assert text == number
