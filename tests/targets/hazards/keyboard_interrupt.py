def test_before():
    pass


def test_interrupts():
    raise KeyboardInterrupt


def test_after():
    pass
