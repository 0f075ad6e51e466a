import os

import pytest


@pytest.fixture(scope="class")
def vanish():
    yield
    os._exit(0)


class TestFirst:
    def test_before(self, vanish):
        pass


def test_after():
    pass
