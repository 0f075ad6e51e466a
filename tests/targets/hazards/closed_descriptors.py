import os


def test_before():
    pass


def test_closes():
    """Descriptors that it does not own: those that lead out of the project."""
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if "launch-" in os.readlink(f"/proc/self/fd/{descriptor}"):
                os.close(int(descriptor))
        except OSError:
            pass


def test_reuses():
    for _ in range(16):
        os.open(os.devnull, os.O_RDONLY)


def test_after():
    pass
