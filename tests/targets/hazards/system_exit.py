import sys


def test_before():
    pass


def test_fails():
    sys.exit(0)


def test_after():
    pass
