import os


def test_before():
    pass


def test_culprit():
    os.abort()


def test_after():
    pass
