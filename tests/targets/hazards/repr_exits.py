import sys


def test_before():
    pass


class Exits:
    def __repr__(self):
        sys.exit(0)


def test_exits():
    value = Exits()
    assert value == 1


def test_after():
    pass
