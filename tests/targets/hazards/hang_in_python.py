import threading


def test_before():
    pass


def helper_that_hangs():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def test_culprit():
    helper_that_hangs()


def test_after():
    pass
