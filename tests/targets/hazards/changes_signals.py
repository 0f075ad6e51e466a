import signal
import time


def test_before():
    pass


def test_ignores_everything():
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))


def test_culprit():
    time.sleep(60)


def test_after():
    pass
