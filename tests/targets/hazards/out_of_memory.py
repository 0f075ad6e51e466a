import os
import resource
import signal


def test_before():
    pass


def test_culprit():
    # As the kernel does it where memory ends; to fill the machine's would harm others.
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
    hoard = []
    try:
        while True:
            hoard.append(bytearray(2**24))
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()


def test_after():
    pass
