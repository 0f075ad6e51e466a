"""What the editors of configuration texts share: the error that says where a text is broken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Broken(ValueError):
    """A text that cannot be read; the message says where and why."""

    def __init__(self, text: str, position: int, why: str) -> None:
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        super().__init__(f"line {line}, column {column}: {why}")


class Editor(Protocol):
    """Reads and changes one form of configuration, and leaves alone what it is not asked to change.

    All raise Broken. *keys* is the way to a value through tables; the tables on it are made where they are missing.
    """

    def read(self, text: str) -> dict[str, Any]: ...
    def put(self, text: str, keys: Sequence[str], value: Any) -> str: ...
    def drop(self, text: str, keys: Sequence[str]) -> str: ...
