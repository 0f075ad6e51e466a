import signal
import time


def test_before():
    pass


def test_culprit():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        time.sleep(60)


def test_after():
    pass
