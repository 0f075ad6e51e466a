"""`--only affected`: what failed last and what can reach a change, as the recipe for a pre-push hook runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "examples" / "hooks" / "pre-push"
FILES = {
    "pytest.ini": "[pytest]\n",
    ".gitignore": "__pycache__/\n",
    "till.py": "def total():\n    return 2\n",
    "cart.py": "import till\n\n\ndef cart():\n    return till.total()\n",
    "door.py": "def opens():\n    return True\n",
    "tests/test_cart.py": "import cart\n\n\ndef test_cart():\n    assert cart.cart() == 2\n",
    "tests/test_door.py": "import door\n\n\ndef test_door():\n    assert door.opens()\n",
    "tests/test_alone.py": "def test_alone():\n    assert True\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = n\nemail = n@example.org\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    root = tmp_path / "shop"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    git(tmp_path, "clone", "-q", "--bare", str(root), "far.git")
    git(root, "remote", "add", "origin", str(tmp_path / "far.git"))
    git(root, "push", "-q", "-u", "origin", "main")
    return root


def git(root: Path, *words: str, code: int = 0, **environ: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=root, capture_output=True, text=True, check=False, env={**os.environ, **environ}
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def ran(project: Path, code: int = 0) -> list[str] | str:
    """The tests that `--only affected` runs, or why there are none."""
    command = [sys.executable, "-m", "pytest_recall"]
    words = ("--project", str(project), "--json")
    done = subprocess.run(
        [*command, "run", *words, "--only", "affected"], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    if "error" in answer:
        return answer["error"]
    told = subprocess.run(
        [*command, "export", *words[:2], answer["run_id"]], capture_output=True, text=True, check=True
    )
    lines = map(json.loads, told.stdout.splitlines())
    return sorted(line["test"]["id"] for line in lines if line["kind"] == "test")


def test_what_reaches_a_change_is_run_and_what_failed_last(project):
    door, till = project / "door.py", project / "till.py"
    door.write_text(FILES["door.py"].replace("True", "False"))
    assert ran(project, 1) == ["tests/test_door.py::test_door"]
    door.write_text(FILES["door.py"])
    till.write_text(f"# the till\n{FILES['till.py']}")  # two imports away
    git(project, "commit", "-q", "-a", "-m", "two")
    assert ran(project) == ["tests/test_cart.py::test_cart", "tests/test_door.py::test_door"]
    (project / "pytest.ini").write_text("[pytest]\nxfail_strict = true\n")
    assert len(ran(project)) == 3  # how tests are run at all has changed


def test_push_is_held_back_by_what_it_would_break_and_not_by_what_nothing_reaches(
    project, tmp_path, monkeypatch
):
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    command = bin_folder / "pytest-recall"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pytest_recall "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    shutil.copy(RECIPE, project / ".git" / "hooks" / "pre-push")
    (project / "till.py").write_text(FILES["till.py"].replace("2", "3"))
    git(project, "commit", "-q", "-a", "-m", "three")
    said = git(project, "push", code=1)
    assert "test_cart" in said
    assert "not pushed" in said
    (project / "till.py").write_text(FILES["till.py"])
    (project / "notes.txt").write_text("nothing imports them\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-a", "-m", "four")
    assert "1 passed" in git(project, "push")  # it failed last
    (project / "notes.txt").write_text("nor this\n")
    git(project, "commit", "-q", "-a", "-m", "five")
    assert "No test can reach what has changed (1 files)" in git(project, "push")
