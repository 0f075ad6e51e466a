import builtins
import json
import os
import time


def test_before():
    pass


def broken(*args, **kwargs):
    raise RuntimeError("patched")


def test_patches():
    builtins.open = json.dumps = json.loads = os.write = broken
    time.time = time.monotonic = time.perf_counter = time.sleep = broken


def test_fails():
    assert {"a": 1} == {"a": 2}


def test_after():
    pass
