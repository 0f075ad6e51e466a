def test_before():
    pass


def test_fails():
    assert list(range(200_000)) == list(range(1, 200_001))


def test_after():
    pass
