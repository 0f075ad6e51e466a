"""Which files of a project a test file can reach by its imports: what a change must touch to matter to it.

Read from the import lines alone, without parsing: foreign sources could exhaust a parser. It finds
rather too much (an import in a docstring) than too little; imports made at run time stay unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from posixpath import dirname

from pytest_recall.history.fingerprint import digest

REACH = 8  # digits of a digest

_MOST_FILES = 2_000
_MOST_TEXT = 1_000_000  # characters of one file
_LONGEST, _DEEPEST = 1_000, 50  # of a dotted name: characters, parts
_IMPORT = re.compile(r"^[ \t]*import[ \t]+([\w., \t]+)", re.MULTILINE)
_FROM = re.compile(
    r"^[ \t]*from[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^()]{0,20000}\)?|[^\n(#]{1,2000})", re.MULTILINE
)
_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Source:
    """What matters of one Python file to the tests that use it."""

    digest: str
    names: frozenset[str]  # dotted, that it may import


def source(path: str, text: str) -> Source:
    """The file *path* (relative to the root, with `/`) with that *text*."""
    return Source(digest(text), frozenset(_imported(path, text[:_MOST_TEXT])))


def reach(test: str, sources: Mapping[str, str]) -> frozenset[str]:
    """The files that *test* (a path) is, imports, directly or not, or gets from its conftests.

    *sources* are the texts of the project's Python files, by path relative to the root, with `/`.
    """
    return _closure(test, frozenset(sources), lambda path: _imported(path, sources[path][:_MOST_TEXT]))


def reached(test: str, sources: Mapping[str, Source]) -> frozenset[str]:
    """The same, of files that have been read before."""
    return _closure(test, frozenset(sources), lambda path: sources[path].names)


def reach_digest(test: str, sources: Mapping[str, Source]) -> str:
    """8 hex digits of all that *test* can reach; "" where its own source is unknown, or that is too much."""
    files = reached(test, sources)
    if test not in files or len(files) >= _MOST_FILES:
        return ""
    # Compared with those of the same test's neighbouring runs only.
    return digest(*(part for path in sorted(files) for part in (path, sources[path].digest)))[:REACH]


def _closure(test: str, paths: frozenset[str], imported: Callable[[str], Iterable[str]]) -> frozenset[str]:
    modules = modules_of(paths)
    todo = [test, *(path for path in _conftests(test) if path in paths)]
    found: set[str] = set()
    while todo and len(found) < _MOST_FILES:
        path = todo.pop()
        if path in found or path not in paths:
            continue
        found.add(path)
        todo += [modules[name] for name in set(imported(path)) if name in modules]
    return frozenset(found)


def touched(changed: Collection[str], reached: Collection[str]) -> list[str]:
    """Those of the *changed* paths that a test reaches."""
    return sorted(set(changed) & set(reached))


def _imported(path: str, text: str) -> Iterator[str]:
    """Dotted names that *text* may import; of `from a import b` both `a` and `a.b`; and their packages."""
    package = dirname(path).replace("/", ".")
    for match in _IMPORT.finditer(text):
        for part in match[1].split(","):
            yield from _packages(part.partition(" as ")[0].strip())
    for match in _FROM.finditer(text):
        module = match[1]
        if len(module) >= _LONGEST:
            continue
        dots = len(module) - len(module.lstrip("."))
        if dots:
            above = package.split(".")[: len(package.split(".")) - (dots - 1)] if package else []
            module = ".".join([*above, module[dots:]]).strip(".")
            yield f"/{module}"  # from the root, whatever the folders' roles
        yield from _packages(module)
        prefix = f"{module}." if module else ""
        for name in _NAME.findall(match[2]):
            yield f"{prefix}{name}"
            if dots:
                yield f"/{prefix}{name}"


def _packages(name: str) -> Iterable[str]:
    parts = name.split(".", _DEEPEST) if len(name) < _LONGEST else []
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


@lru_cache(maxsize=4)
def modules_of(paths: frozenset[str]) -> dict[str, str]:
    """Paths by every name under which they may be imported; `/a.b` is the name from the root."""
    packages = {dirname(path) for path in paths if path.endswith("/__init__.py")}
    found: dict[str, str] = {}
    for path in sorted(paths):
        module = path.removesuffix(".py").removesuffix("/__init__")
        top = dirname(module)
        while top in packages:
            top = dirname(top)
        for root in {"", "src", "lib", top}:
            if not root or module.startswith(f"{root}/"):
                name = module[len(root) :].strip("/").replace("/", ".")
                found.setdefault(name, path)
        found[f"/{module.replace('/', '.')}"] = path
    return found


def _conftests(test: str) -> Iterator[str]:
    folder = dirname(test)
    while folder:
        yield f"{folder}/conftest.py"
        folder = dirname(folder)
    yield "conftest.py"
