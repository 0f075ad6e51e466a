def test_before():
    pass


def test_fails():
    def deeper():
        return deeper()

    deeper()


def test_after():
    pass
