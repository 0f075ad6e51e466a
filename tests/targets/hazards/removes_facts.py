import os


def streams():
    """What this process has open under the name of the fact stream."""
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink("/proc/self/fd/" + number)
        except OSError:
            continue
        if path.endswith("events.jsonl"):
            yield path


def test_before():
    pass


def test_removes():
    os.unlink(next(streams()))


def test_fails():
    assert False


def test_after():
    pass
