import os


def test_before():
    pass


def test_fork_comes_back():
    if os.fork() == 0:
        return  # into pytest: the child goes on as if it were the session
    os.wait()


def test_after():
    pass
