"""A store that two projects share by mistake: each answer says so. Clones and work trees of one project may."""

import json
import subprocess
from pathlib import Path

import pytest

SOURCE = {"test_a.py": "def test_one(): assert 1 == 1\n"}


def git(folder: Path, *args: str) -> None:
    command = [
        "git",
        "-c",
        "user.name=somebody",
        "-c",
        "user.email=somebody@localhost",
        "-C",
        str(folder),
        *args,
    ]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def repository(make_project):
    def make(name: str) -> Path:
        folder: Path = make_project(SOURCE, name=name)
        git(folder, "init", "-q")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", f"The beginning of {name}")
        return folder

    return make


def test_one_folder_for_two_projects_is_told_and_for_two_clones_is_right(
    repository, in_process, tmp_path, monkeypatch
):
    one, other = repository("one"), repository("other")
    git(tmp_path, "clone", "-q", str(one), "clone")
    monkeypatch.setenv("PYTEST_RECALL_STORE_FOLDER", str(tmp_path / "shared"))

    def warnings(project: Path, *words: str) -> list[str]:
        told = json.loads(in_process(words[0], "--project", str(project), "--json", *words[1:]).stdout)
        return [warning for warning in told.get("warnings", ()) if "Another project" in warning]

    assert warnings(one, "run") == []
    assert warnings(tmp_path / "clone", "run") == []
    assert warnings(one, "stats") == []
    assert "seems: 2 whose commits" in warnings(other, "run")[0]
    [told] = warnings(other, "stats")
    assert "PYTEST_RECALL_STORE_FOLDER" in told
