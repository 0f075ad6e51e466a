import ctypes
import os
import time


def test_before():
    pass


def test_hangs():
    time.sleep(60)


def test_vanishes():
    os._exit(0)


def test_fails():
    assert 0


def test_segfaults():
    ctypes.string_at(0)


def test_after():
    pass
