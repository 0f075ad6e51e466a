import os


def test_before():
    pass


def test_leaves():
    os.chdir("/")


def test_fails():
    assert 1 == 2


def test_after():
    pass
