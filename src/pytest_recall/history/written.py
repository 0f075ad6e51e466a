"""What tests write into their own repository, told from what somebody edits there."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pytest_recall.history.patch import is_config

_IMPORTED = (".py", ".pyi", ".pyx", ".so", ".pyd", ".pth")


def sources(paths: Iterable[str], tests: Iterable[str]) -> list[str]:
    """Those of *paths* (from the repository's top) that a test may import, or that configure or are any of *tests* (ids)."""
    own = {test.partition("::")[0] for test in tests}
    return [path for path in paths if path.endswith(_IMPORTED) or is_config(path) or _ends(path, own)]


def _ends(path: str, files: Collection[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[n:]) in files for n in range(len(parts)))
