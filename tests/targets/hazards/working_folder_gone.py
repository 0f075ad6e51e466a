import os


def test_before():
    pass


def test_leaves(tmp_path):
    place = tmp_path / "gone"
    place.mkdir()
    os.chdir(place)
    place.rmdir()


def test_fails():
    assert 1 == 2


def test_after():
    pass
