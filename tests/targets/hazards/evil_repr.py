def test_before():
    pass


class Raises:
    def __repr__(self):
        raise RuntimeError("no repr")

    def __eq__(self, other):
        return False


def test_raises():
    value = Raises()
    assert value == 1


def test_fails_with_odd_message():
    raise type("Odd\nName", (Exception,), {"__str__": lambda self: 1 / 0})


def test_after():
    pass
