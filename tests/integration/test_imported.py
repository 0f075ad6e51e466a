"""Where a real interpreter takes modules from in another work tree: what is not that tree's code is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_recall.model import Target
from pytest_recall.running import imported, worktree
from pytest_recall.running.worktree import Refused


def git(root: Path, *args: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *identity, *args], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One project of a repository, `packages/a`; beside it lies the package `mono_b`."""
    top = tmp_path / "repository"
    write(
        top,
        {
            "packages/a/pyproject.toml": "",
            "packages/a/src/shop/__init__.py": "",
            "packages/b/setup.cfg": "",
            "packages/b/mono_b/__init__.py": "",
            "packages/b/mono_b/prices.json": "10",
            "tools/vendored.py": "",
        },
    )
    git(top, "init", "-q", "-b", "main")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "a step")
    return top / "packages/a"


def led(root: Path, tmp_path: Path, **environ: str) -> Mapping[str, str]:
    commit = git(root, "rev-parse", "HEAD")
    with worktree.checked_out(root, commit, tmp_path / "bases", seconds=60) as tree:
        target = Target(root=str(tree.root), python=sys.executable, source="")
        return imported.imports(target, tree, environ)


def hook(root: Path, tmp_path: Path) -> str:
    """A folder of PYTHONPATH with what finds `mono_b` as editable installs of a flat layout do: by no entry of sys.path."""
    place = root.parent / "b/mono_b/__init__.py"
    text = (
        "import importlib.util, sys\n"
        "class Editable:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mono_b':\n"
        f"            return importlib.util.spec_from_file_location(name, {str(place)!r})\n"
        "sys.meta_path.append(Editable())\n"
    )
    write(tmp_path / "hook", {"sitecustomize.py": text})
    return str(tmp_path / "hook")


@pytest.mark.parametrize("changed", ["__init__.py", "prices.json", "new.py"])
def test_package_beside_the_project_that_comes_from_the_users_files_is_refused_where_it_was_changed(
    root: Path, tmp_path: Path, changed: str
) -> None:
    path = hook(root, tmp_path)
    assert path in led(root, tmp_path, PYTHONPATH=path)["PYTHONPATH"]
    write(root.parent, {f"b/mono_b/{changed}": "11"})
    with pytest.raises(Refused, match=r"'mono_b' is imported from .* there too: an editable install"):
        led(root, tmp_path, PYTHONPATH=path)


@pytest.mark.parametrize("name", ["shop", "mono_b"])
def test_installed_copy_is_refused_unless_pytest_is_told_to_import_the_sources(
    root: Path, tmp_path: Path, name: str
) -> None:
    site = tmp_path / "site-packages"
    write(site, {f"{name}/__init__.py": "", "vendored.py": ""})
    with pytest.raises(Refused, match=rf"'{name}' is imported from .* there too: a copy that is installed"):
        led(root, tmp_path, PYTHONPATH=str(site))

    write(root, {"pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['src', '../b']\n"})
    git(root, "commit", "-qam", "a step")
    assert str(site) in led(root, tmp_path, PYTHONPATH=str(site))["PYTHONPATH"]


def test_dependency_with_the_name_of_a_script_is_no_copy_of_it(root: Path, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    write(site, {"vendored.py": "", "tests/__init__.py": ""})
    write(root.parent, {"b/tests/__init__.py": ""})
    git(root, "add", "-A", root.parent.as_posix())
    git(root, "commit", "-qm", "a step")
    assert str(site) in led(root, tmp_path, PYTHONPATH=str(site))["PYTHONPATH"]
