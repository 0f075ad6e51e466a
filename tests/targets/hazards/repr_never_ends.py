def test_before():
    pass


class Endless:
    def __repr__(self):
        while True:
            pass


def test_culprit():
    value = Endless()
    assert value == 1


def test_after():
    pass
