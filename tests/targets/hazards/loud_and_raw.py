import os

import pytest


def test_before():
    pass


@pytest.fixture(autouse=True)
def uncaptured(capfd):
    with capfd.disabled():
        yield


def test_prints_a_lot():
    line = b"x" * 65_535 + b"\n"
    for _ in range(3_000):  # 200 MB
        os.write(1, line)


def test_after():
    pass
