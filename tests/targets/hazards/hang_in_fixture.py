import time

import pytest


def test_before():
    pass


@pytest.fixture
def stuck():
    time.sleep(60)


def test_culprit(stuck):
    pass


def test_after():
    pass
