import os


def test_before():
    pass


def test_culprit():
    os._exit(0)


def test_after():
    pass
