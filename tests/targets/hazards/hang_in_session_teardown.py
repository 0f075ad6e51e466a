import time

import pytest


@pytest.fixture(scope="session", autouse=True)
def stuck():
    yield
    time.sleep(60)


def test_before():
    pass
