import resource


def test_before():
    pass


def test_fills():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every write to a file fails from now on


def test_fails():
    assert 0


def test_after():
    pass
