import os
import sys


def test_before():
    pass


def test_prints_bytes(capfd):
    with capfd.disabled():
        os.write(1, bytes(range(256)) * 10)
        os.write(1, b"\x1b[31mred\x1b[0m \xed\xa0\x80 \x00")
    print("\ud800 lone", file=sys.stdout)
    assert 0, "\ud800 \x1b[31m \x00"


def test_after():
    pass
