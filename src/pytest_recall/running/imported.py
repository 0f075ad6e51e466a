"""Where the target's interpreter takes a project's modules from: asked of it, without importing them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_recall.model import Target
from pytest_recall.running import command
from pytest_recall.running.worktree import Refused, Worktree

_SECONDS = 20.0
_MOST = 300  # names
_MARK = "pytest-recall:"

# Entries of sys.path in the user's work tree (an editable install's, PYTHONPATH's) are led to the same place in the
# other one; then every top-level module of the project is looked for, as `python -m pytest` would find it.
_ASK = """
import json, os, sys
from importlib.util import find_spec

origin, top, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
here = 1 if sys.path[:1] == [""] else 0

def inside(path, folder):
    return path == folder or path.startswith(folder + os.sep)

environment = os.path.realpath(sys.prefix)
if not inside(environment, origin) or environment == origin:
    environment = None

def users(path):
    path = os.path.realpath(path)
    if not inside(path, origin) or inside(path, top) or "site-packages" in path:
        return False
    return environment is None or not inside(path, environment)

led = []
for entry in sys.path[here:]:
    if entry and users(entry):
        led.append(os.path.join(top, os.path.relpath(os.path.realpath(entry), origin)))
sys.path[here:here] = led
names = {}
for folder in [os.getcwd(), os.path.join(os.getcwd(), "src"), *led]:
    try:
        found = sorted(os.listdir(folder))
    except OSError:
        continue
    for name in found:
        if name.endswith(".py"):
            names.setdefault(name[:-3], None)
        elif os.path.isfile(os.path.join(folder, name, "__init__.py")):
            names.setdefault(name, None)
astray = {}
for name in [name for name in names if name.isidentifier()][:most]:
    try:
        spec = find_spec(name)
        place = spec.origin if spec.has_location else list(spec.submodule_search_locations)[0]
    except Exception:
        continue
    if users(place):
        astray[name] = os.path.realpath(place)
print("\\n" + sys.argv[4] + json.dumps({"led": led, "astray": astray}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """What an interpreter would import for tests that run in another work tree."""

    environ: Mapping[str, str]  # in which it imports that tree's modules, so far as they can be led there
    astray: Mapping[str, str]  # top-level modules that it takes from the user's work tree all the same


def imports(target: Target, tree: Worktree, environ: Mapping[str, str]) -> Imports:
    """What *target*'s interpreter imports when it is started in *tree*.

    Raises:
        Refused: it does not say.
    """
    there = command.surroundings(target, environ)
    origin, top = os.path.realpath(tree.origin), os.path.realpath(tree.top)
    try:
        done = subprocess.run(
            [target.python, "-c", _ASK, origin, top, str(_MOST), _MARK],
            cwd=tree.root,
            env=there,
            stdin=subprocess.DEVNULL,
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
    users = [path for path in there.get("PYTHONPATH", "").split(os.pathsep) if path and not _in(path, origin)]
    path = os.pathsep.join([*led, *users])
    # Left in, it would tell `surroundings` that this PYTHONPATH is the server's own.
    without = {name: value for name, value in there.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    return Imports(environ=without | ({"PYTHONPATH": path} if path else {}), astray=astray)


def _in(path: str, folder: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(folder)
