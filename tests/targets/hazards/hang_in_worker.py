import time


def test_before():
    pass


def helper_that_hangs():
    time.sleep(60)


def test_culprit():
    helper_that_hangs()


def test_after():
    pass
