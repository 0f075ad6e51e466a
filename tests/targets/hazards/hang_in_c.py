import re


def test_before():
    pass


def test_culprit():
    # A regular expression that backtracks for ages, in C and with the GIL held.
    re.match(r"(a+)+b", "a" * 40)


def test_after():
    pass
