"""A project folder → the interpreter that runs its tests, and why that one.

Nothing is created, synced or installed. An interpreter's path is never resolved: `.venv/bin/python`
seen through its symlink is the base Python, which knows nothing of the environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pytest_recall.errors import NoInterpreter, quoted
from pytest_recall.model import Candidate, Target

_WINDOWS = sys.platform == "win32"
_BIN, _PYTHON = ("Scripts", "python.exe") if _WINDOWS else ("bin", "python")
_MANAGER_SECONDS = 10.0
_MANAGERS = frozenset({"poetry", "hatch", "uv"})
_MOST_FOLDERS = 32  # of .tox and .nox each


class _Found(NamedTuple):
    python: Path
    source: str


def resolve(
    root: Path, *, explicit: str = "", explicit_source: str = "", environ: Mapping[str, str]
) -> Target:
    """The interpreter for the project in *root*: the explicit one, else the first that has a pytest.

    Looked at, in this order and from the project up to its repository's root: the environment that
    uv is told to use, `.venv`, `venv`, `env`; pixi, pdm and conda prefixes; what poetry, hatch
    and uv answer, where their marker exists; `.tox/*` and `.nox/*`; the active environment unless
    it is this server's own; `python3` on PATH, with a warning.

    Raises:
        NoInterpreter: there is none, or the explicit one does not exist.
    """
    if explicit:
        return _explicit(root, explicit, explicit_source or "explicit", environ)
    tried: list[Candidate] = []
    seen: set[Path] = set()
    for found in _candidates(root, environ):
        if found.python in seen:
            continue
        seen.add(found.python)
        against = _against(found.python)
        tried.append(Candidate(python=str(found.python), source=found.source, verdict=against or "chosen"))
        if not against:
            return Target(
                root=str(root),
                python=str(found.python),
                source=found.source,
                tried=tuple(tried),
                warning=_warning(found),
            )
    raise NoInterpreter(_none(root, tried))


def prefix(python: str) -> Path:
    """The folder of the environment that *python* belongs to."""
    folder = Path(python).parent
    return folder.parent if folder.name in {"bin", "Scripts"} else folder


def site_packages(python: str) -> list[Path]:
    """Where *python*'s environment keeps what is installed, found without starting it."""
    base = prefix(python)
    if _WINDOWS:
        return [folder for folder in [base / "Lib" / "site-packages"] if folder.is_dir()]
    folders = [*base.glob("lib/python3*/site-packages"), *base.glob("lib/python3*/dist-packages")]
    if (base / "pyvenv.cfg").is_file() or len(folders) < 2:  # noqa: PLR2004 - no choice to make
        return folders
    # /usr and its like hold several Pythons: only the one that its name tells can be taken.
    name = Path(python).readlink().name if Path(python).is_symlink() else Path(python).name
    return [folder for folder in folders if folder.parent.name == name]


def has(python: str, module: str) -> bool:
    """Whether *module* can be imported by *python*; it is started only where the folders do not tell."""
    for folder in site_packages(python):
        if (folder / module / "__init__.py").is_file() or (folder / f"{module}.py").is_file():
            return True
    code = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec(sys.argv[1]) else 3)"
    return _output([python, "-c", code, module]) is not None


def installed(python: str) -> tuple[int, ...]:
    """What changes when something is installed for *python*, or removed."""
    return tuple(folder.stat().st_mtime_ns for folder in site_packages(python))


def environment(python: str) -> Path | None:
    """The virtual environment that *python* is in, or None."""
    base = prefix(python)
    return base if (base / "pyvenv.cfg").is_file() else None


# --- candidates -----------------------------------------------------------------------------


def _candidates(root: Path, environ: Mapping[str, str]) -> Iterator[_Found]:
    folders = list(_upwards(root))
    if project_environment := environ.get("UV_PROJECT_ENVIRONMENT"):
        yield from _in(root / project_environment, "UV_PROJECT_ENVIRONMENT")
    for folder in folders:
        yield from _beside(folder)
    for folder in folders:
        yield from _prefixes(folder)
    for folder in folders:
        yield from _managers(folder)
    for folder in folders:
        yield from _sessions(folder)
    yield from _active(environ)
    for name in ("python3", "python"):
        if python := shutil.which(name, path=environ.get("PATH")):
            yield _Found(Path(python).absolute(), "PATH")


def _upwards(root: Path) -> Iterator[Path]:
    """*root* and its parents up to the repository's root; *root* alone where there is none."""
    folders = [root, *root.parents]
    for number, folder in enumerate(folders):
        if (folder / ".git").exists():
            yield from folders[: number + 1]
            return
    yield root


def _in(folder: Path, source: str) -> Iterator[_Found]:
    """The interpreter of the environment in *folder*, if there is something that looks like one."""
    names = [folder / _BIN / _PYTHON, folder / _BIN / "python3", folder / _PYTHON]
    for python in names:
        if python.exists():
            yield _Found(python.absolute(), source)
            return
    if (folder / "pyvenv.cfg").is_file():
        yield _Found(names[0].absolute(), source)  # a broken environment is worth a line in the answer


def _beside(folder: Path) -> Iterator[_Found]:
    for name in (".venv", "venv", "env"):
        place = folder / name
        if place.is_file():  # virtualenvwrapper and others write the real place into a file
            line = _first_line(place)
            if line:
                yield from _in(folder / line, name)
        elif (place / "pyvenv.cfg").is_file():
            yield from _in(place, name)


def _prefixes(folder: Path) -> Iterator[_Found]:
    yield from _in(folder / ".pixi" / "envs" / "default", ".pixi")
    if line := _first_line(folder / ".pdm-python"):
        yield _Found((folder / line).absolute(), ".pdm-python")
    for name in ("env", "envs", ".conda", "conda-env", ".venv", "venv"):
        if (folder / name / "conda-meta").is_dir():
            yield from _in(folder / name, f"conda prefix {name}")


def _managers(folder: Path) -> Iterator[_Found]:
    """What poetry, hatch and uv answer. pdm is not asked: it makes an environment where it finds none."""
    project = folder / "pyproject.toml"
    text = _head(project)
    for name, lock, table, command in (
        ("poetry", "poetry.lock", "[tool.poetry]", ("poetry", "env", "info", "-e")),
        ("hatch", "hatch.toml", "[tool.hatch.env", ("hatch", "env", "find")),
        ("uv", "uv.lock", "[tool.uv]", ("uv", "python", "find", "--no-python-downloads")),
    ):
        marker = folder / lock
        if not marker.is_file() and table not in text:
            continue
        stamp = (_modified(marker), _modified(project))
        answer = _ask(command, folder, stamp)
        if answer:
            place = Path(answer)
            yield from [_Found(place, name)] if place.is_file() else _in(place, name)


@lru_cache(maxsize=64)
def _ask(command: tuple[str, ...], folder: Path, _stamp: tuple[float, float]) -> str:
    """The last line that a manager answers; asked anew only when its lock or the project changed."""
    output = _output(command, cwd=folder) if shutil.which(command[0]) else None
    lines = (output or "").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _sessions(folder: Path) -> Iterator[_Found]:
    """What tox and nox made, the newest first."""
    for name in (".tox", ".nox"):
        places = [place for place in _listdir(folder / name) if (place / "pyvenv.cfg").is_file()]
        for place in sorted(places, key=_modified, reverse=True)[:_MOST_FOLDERS]:
            yield from _in(place, f"{name}/{place.name}")


def _active(environ: Mapping[str, str]) -> Iterator[_Found]:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        place = environ.get(variable)
        if place and Path(place) != Path(sys.prefix):
            yield from _in(Path(place), variable)


# --- judging --------------------------------------------------------------------------------


def _explicit(root: Path, explicit: str, source: str, environ: Mapping[str, str]) -> Target:
    python = Path(os.path.expanduser(explicit))  # noqa: PTH111 - Path.expanduser raises where there is no home
    if python.name == explicit and (named := shutil.which(explicit, path=environ.get("PATH"))):
        python = Path(named)
    python = _named(python, root)
    folder = python.is_dir()
    if folder:
        python = next((found.python for found in _in(python, source)), python)
    if not python.is_file():
        trouble = f"is a folder without {_BIN}/{_PYTHON}" if folder else "does not exist"
        raise NoInterpreter(
            f"The interpreter given by {source} {trouble}: {quoted(explicit)}. Give the path of a Python, or of"
            f" an environment's folder, absolute or from the project ({quoted(str(root))}), or leave it out to have"
            f" it looked for beside the project."
        )
    chosen = Candidate(python=str(python), source=source, verdict="chosen")
    return Target(root=str(root), python=str(python), source=source, tried=(chosen,))


def _named(python: Path, root: Path) -> Path:
    """*python* from the project's *root*, or, where there is none, from where this process was started: a shell's way."""
    inside = (root / python).absolute()
    if inside.exists():
        return inside
    with suppress(OSError):  # that folder may be gone
        if (here := python.absolute()).exists():
            return here
    return inside


def _against(python: Path) -> str:
    """What speaks against *python*; empty where nothing does."""
    if not python.is_file():
        return "does not exist (broken environment)"
    if not os.access(python, os.X_OK):
        return "is not executable"
    return "" if has(str(python), "pytest") else "has no pytest"


def _warning(found: _Found) -> str:
    # What a manager answers where it has made no environment is an interpreter of the whole machine's.
    if found.source != "PATH" and (found.source not in _MANAGERS or environment(str(found.python))):
        return ""
    own = " (it is this server's own)" if prefix(str(found.python)) == Path(sys.prefix) else ""
    return (
        f"No environment was found for this project, so {found.python} from {found.source} runs its tests{own}."
        f" Make a .venv in the project, or name its interpreter by --python or PYTEST_RECALL_PYTHON."
    )


def _none(root: Path, tried: Iterable[Candidate]) -> str:
    lines = [f"  {item.python} ({item.source}): {item.verdict}" for item in list(tried)[:12]]
    first = next((item.python for item in tried if item.verdict == "has no pytest"), "")
    remedy = f"install pytest there (`{first} -m pip install pytest`), or " if first else ""
    looked = "\n".join(["Tried:", *lines]) if lines else "There is no .venv, and no python3 on PATH."
    return (
        f"No Python with pytest was found for {quoted(str(root))}: {remedy}name the project's interpreter by --python,"
        f' PYTEST_RECALL_PYTHON, or `python = "…"` under [tool.pytest-recall] in its pyproject.toml.\n{looked}'
    )


# --- reading --------------------------------------------------------------------------------


def _output(command: Iterable[str], *, cwd: Path | None = None) -> str | None:
    """What a short command prints, or None when it fails or takes too long."""
    # Without what would make it speak of this server's own environment.
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    try:
        done = subprocess.run(
            list(command),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_MANAGER_SECONDS,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


def _head(path: Path, most: int = 100_000) -> str:
    try:
        with path.open("rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def _first_line(path: Path) -> str:
    return next(iter(_head(path, 4096).splitlines()), "").strip() if path.is_file() else ""


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _listdir(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
