"""What a project asks for in its own files, read and never carried out: its requirements, and where to import from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as BadIni
from itertools import islice
from pathlib import Path
from typing import Any

from pytest_recall.history.providers import plain

_MOST = 2_000  # names
_LONGEST = 500_000  # bytes of one file
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,100})")
_FILES = ("requirements*.txt", "*requirements.txt", "requirements/*.txt")


def declared(root: Path) -> dict[str, str]:
    """Plain names of the distributions that the project in *root* asks for → where it does; the first place counts."""
    found: dict[str, str] = {}
    for name, where in islice((*_of_pyproject(root), *_of_lists(root)), _MOST):
        found.setdefault(plain(name), where)
    return found


# Where pytest's settings are looked for, and the table they are in; in this order.
_SETTINGS = (
    ("pytest.toml", ("pytest",)),
    (".pytest.toml", ("pytest",)),
    ("pytest.ini", ("pytest",)),
    (".pytest.ini", ("pytest",)),
    ("pyproject.toml", ("tool", "pytest")),
    ("tox.ini", ("pytest",)),
    ("setup.cfg", ("tool:pytest",)),
)


def python_path(root: Path, top: Path) -> list[Path]:
    """The folders that pytest's setting `pythonpath` adds for the project in *root*: of the nearest settings, up to *top*."""
    folder = root
    while True:
        for name, tables in _SETTINGS:
            settings = _read(folder / name, tables)
            if settings:
                paths = settings.get("pythonpath", ())
                words = paths.split() if isinstance(paths, str) else paths
                return [folder / word for word in words if isinstance(word, str)]
        if folder in (top, folder.parent):
            return []
        folder = folder.parent


def _read(path: Path, tables: tuple[str, ...]) -> Mapping[str, Any]:
    text = _text(path)
    try:
        if path.suffix != ".toml":
            ini = ConfigParser(interpolation=None, strict=False)
            ini.read_string(text)
            return dict(ini[tables[0]]) if ini.has_section(tables[0]) else {}
        found = _table(tomllib.loads(text), *tables)
    except (tomllib.TOMLDecodeError, BadIni, RecursionError):
        return {}
    return _table(found, "ini_options") or found


def _of_pyproject(root: Path) -> Iterator[tuple[str, str]]:
    try:
        tables = tomllib.loads(_text(root / "pyproject.toml"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    project, poetry = _table(tables, "project"), _table(tables, "tool", "poetry")
    yield from _names(project.get("dependencies"), "dependencies in pyproject.toml")
    for kind, lists in (
        ("extra", _table(project, "optional-dependencies")),
        ("group", _table(tables, "dependency-groups")),
        ("group", {name: _table(group, "dependencies") for name, group in _table(poetry, "group").items()}),
        ("poetry's", {"dependencies": poetry.get("dependencies")}),
    ):
        for name, wanted in lists.items():
            yield from _names(wanted, f"{kind} {str(name)[:60]!r} in pyproject.toml")


def _of_lists(root: Path) -> Iterator[tuple[str, str]]:
    for path in dict.fromkeys(path for pattern in _FILES for path in sorted(root.glob(pattern))[:20]):
        yield from _names(_text(path).splitlines(), path.relative_to(root).as_posix())


def _names(wanted: object, where: str) -> Iterator[tuple[str, str]]:
    """The names in a list of requirements, or, as poetry has it, in a table of them."""
    if isinstance(wanted, list | dict):
        for one in wanted:
            if isinstance(one, str) and (found := _NAME.match(one)) and found[1].lower() != "python":
                yield found[1], where


def _table(value: object, *names: str) -> Mapping[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""
