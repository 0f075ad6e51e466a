import os


def test_before():
    pass


def test_reads(capfd):
    with capfd.disabled():
        assert os.read(0, 1) == b""


def test_after():
    pass
