"""Where the target's interpreter takes a project's modules from: asked of it, without importing them."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_recall.errors import quoted
from pytest_recall.model import Target
from pytest_recall.running import command
from pytest_recall.running.declared import python_path
from pytest_recall.running.worktree import Refused, Worktree

_SECONDS = 20.0
_MOST = 2_000  # names, and folders that they are looked for in
_MARK = "pytest-recall:"

# Entries of sys.path in the user's work tree (an editable install's, PYTHONPATH's) are led to the same place in the
# other one; then every top-level module of the repository is looked for, as `python -m pytest` would find it.
_ASK = """
import json, os, sys
from importlib.util import find_spec

asked = json.load(sys.stdin)
origin, top, names = asked["origin"], asked["top"], asked["names"]
here = 1 if sys.path[:1] == [""] else 0

def inside(path, folder):
    return path == folder or path.startswith(folder + os.sep)

environment = os.path.realpath(sys.prefix)
if not inside(environment, origin) or environment == origin:
    environment = None

def users(path):
    if not inside(path, origin) or inside(path, top) or "site-packages" in path:
        return False
    return environment is None or not inside(path, environment)

def installed(path):
    return "site-packages" in path or "dist-packages" in path

led = []
for entry in sys.path[here:]:
    if entry and users(os.path.realpath(entry)):
        led.append(os.path.join(top, os.path.relpath(os.path.realpath(entry), origin)))
sys.path[here:here] = led
sys.path[:0] = asked["ahead"]
astray = {}
for name, own in names.items():
    try:
        spec = find_spec(name)
        places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations)
    except Exception:
        continue
    for place in map(os.path.realpath, places):
        if inside(place, top):
            break
        if users(place) or (own and installed(place)):
            astray[name] = place
            break
print("\\n" + asked["mark"] + json.dumps({"led": led, "astray": astray}))
"""

_PACKAGED = frozenset({"pyproject.toml", "setup.py", "setup.cfg"})
_INNER = frozenset({"src", "lib", "python"})  # beside those, where packages lie
_ANYBODYS = frozenset({"tests", "test", "setup", "conftest", "docs", "examples", "scripts", "benchmarks"})
_PASSED_OVER = frozenset({"node_modules", "site-packages", "__pycache__"})


def imports(target: Target, tree: Worktree, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment in which *target*'s interpreter, started in *tree*, imports the modules that are there.

    Raises:
        Refused: it does not say, or it takes one of them from elsewhere all the same: from the user's work tree, or
            from where a copy is installed. What is run there would not be *tree*'s code.
    """
    there = command.surroundings(target, environ)
    origin, top = os.path.realpath(tree.origin), os.path.realpath(tree.top)
    asked = {
        "origin": origin,
        "top": top,
        "names": _names(tree),
        "ahead": [str(path) for path in python_path(tree.root, tree.top)],
        "mark": _MARK,
    }
    try:
        done = subprocess.run(
            [target.python, "-c", _ASK],
            cwd=tree.root,
            env=there,
            input=json.dumps(asked).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
        lines = done.stdout.decode("utf-8", "surrogateescape").splitlines()
        told = json.loads(next(line for line in reversed(lines) if line.startswith(_MARK))[len(_MARK) :])
        led, astray = [str(path) for path in told["led"]], dict(told["astray"])
    except (OSError, ValueError, KeyError, TypeError, StopIteration, subprocess.SubprocessError) as error:
        raise Refused(
            f"{target.python} did not tell where it imports from ({type(error).__name__})"
        ) from None
    for name, where in astray.items():
        if _unchanged(where, origin, top):
            continue
        why = (
            "a copy that is installed"
            if _installed(where)
            else "an editable install that leads to your files"
        )
        raise Refused(f"{quoted(name)} is imported from {quoted(where)} there too: {why}")
    users = [path for path in there.get("PYTHONPATH", "").split(os.pathsep) if path and not _in(path, origin)]
    path = os.pathsep.join([*led, *users])
    # Left in, it would tell `surroundings` that this PYTHONPATH is the server's own.
    without = {name: value for name, value in there.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    return without | ({"PYTHONPATH": path} if path else {})


def _names(tree: Worktree) -> dict[str, bool]:
    """The top-level modules of the whole repository, and of each whether an installed one is a copy of it.

    That is so where it lies as packages do; elsewhere a dependency may well have the name of a script. Folders without
    `__init__.py` may be parts of a namespace.
    """
    found: dict[str, bool] = {}
    for folder, own in _roots(tree):
        for path in sorted(folder.iterdir()):
            name = path.name.removesuffix(".py")
            if not name.isidentifier() or len(found) >= _MOST:
                continue
            if path.suffix == ".py" or (path / "__init__.py").is_file():
                found[name] = found.get(name, False) or (own and name not in _ANYBODYS)
            elif path.is_dir():
                found.setdefault(name, False)
    return found


def _roots(tree: Worktree) -> Iterator[tuple[Path, bool]]:
    """The folders of *tree* that modules may be imported from, the project's first; and whether packages lie there."""
    packaged = {tree.root}
    walks = (os.walk(start) for start in dict.fromkeys([tree.root, tree.top]))
    seen: set[Path] = set()
    for here, folders, files in (step for walk in walks for step in walk):
        folder = Path(here)
        if folder in seen or len(seen) >= _MOST:
            folders.clear()
            continue
        seen.add(folder)
        if "__init__.py" in files and folder != tree.root:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _PASSED_OVER]
        if not _PACKAGED.isdisjoint(files):
            packaged.add(folder)
        yield folder, folder in packaged or (folder.name in _INNER and folder.parent in packaged)


def _unchanged(path: str, origin: str, top: str) -> bool:
    """Whether *path* belongs to a package of the user's that is the same in the other tree, data and all."""
    folder = Path(path).parent if path.endswith("__init__.py") else Path(path)
    if _installed(path) or not folder.is_dir():
        return False
    return _alike(filecmp.dircmp(folder, top / folder.relative_to(origin), ignore=["__pycache__"]))


def _alike(pair: filecmp.dircmp[str]) -> bool:
    try:
        apart = [*pair.left_only, *pair.right_only, *pair.diff_files, *pair.funny_files, *pair.common_funny]
    except OSError:
        return False
    return not apart and all(map(_alike, pair.subdirs.values()))


def _installed(path: str) -> bool:
    return "site-packages" in path or "dist-packages" in path


def _in(path: str, folder: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(folder)
