import pathlib
import shutil


def test_before():
    pass


def test_removes():
    config = pathlib.Path("/proc/self/cmdline").read_bytes()
    folder = [part for part in config.split(b"\0") if b"launch-" in part][0].decode()
    shutil.rmtree(folder)


def test_after():
    pass
