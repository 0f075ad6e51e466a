import ctypes
import sys


def test_before():
    pass


def test_culprit():
    """Through C and back, where Python does not count: the stack itself runs out."""
    sys.setrecursionlimit(10**9)

    @ctypes.CFUNCTYPE(ctypes.c_int)
    def deeper():
        return deeper()

    deeper()


def test_after():
    pass
