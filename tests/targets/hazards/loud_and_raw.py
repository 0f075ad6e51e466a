import os


def test_before():
    pass


def test_prints_a_lot(capfd):
    lines = (b"x" * 127 + b"\n") * 2**13
    with capfd.disabled():
        for _ in range(1_024):  # 1 GiB
            os.write(1, lines)


def test_after():
    pass
