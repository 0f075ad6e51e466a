import os

import pytest


def test_before():
    pass


@pytest.fixture(scope="module", autouse=True)
def vanish():
    yield
    os._exit(0)


def test_after():
    pass
