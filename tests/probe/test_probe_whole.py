"""What pytest could not begin is told in a file of its own, whatever the project has done to the functions that write."""

import pytest

from recall_probe.whole import Whole

PATCHES = """
import builtins, io, json, os

def broken(*args, **kwargs):
    raise RuntimeError("patched")

builtins.open = io.open = os.open = os.write = os.replace = json.dump = json.dumps = broken
raise ValueError("and then this")
"""


def test_broken_conftest_that_patched_everything_is_told(probe):
    probe.write({"conftest.py": PATCHES, "test_a.py": "def test_a(): pass\n"})
    ran = probe.run()
    told = ran.json("startup.json")
    assert told["path"].endswith("conftest.py")
    assert "and then this" in told["cause"]


def test_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "said.json"
    Whole.put(str(path), {"first": 1})
    monkeypatch.setattr(Whole, "_bound", (*Whole._bound[:1], lambda *_: 3, *Whole._bound[2:]))  # a full disk
    Whole.put(str(path), {"second": 2})
    assert path.read_text() == '{"first": 1}'


@pytest.mark.parametrize("folder", ["missing", "said.json/below"])
def test_place_that_cannot_be_written_is_no_error(tmp_path, folder):
    (tmp_path / "said.json").write_text("{}")
    Whole.put(str(tmp_path / folder / "exit.json"), {"rc": 0})
