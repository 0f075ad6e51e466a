"""Our own JSON lines: all that is known of a run, one line a test, so that any tool can read it and `import` loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, BinaryIO

from pytest_recall.model import Run
from pytest_recall.suite import NO_TESTS

VERSION = 1

Dump = Callable[[object], Any]  # a dataclass as JSON values


class Lines:
    """Writes runs one after the other. The line `end` tells a reader that nothing of the run is missing."""

    def __init__(self, out: BinaryIO, dump: Dump) -> None:
        self._out = out
        self._dump = dump

    def add(self, run: Run) -> None:
        head = self._dump(replace(run, tests=NO_TESTS))
        self._write({"kind": "run", "version": VERSION, "id": run.id, "tests": len(run.tests), "run": head})
        for test in run.tests:
            self._write({"kind": "test", "run": run.id, "test": self._dump(test)})
        self._write({"kind": "end", "run": run.id})

    def close(self) -> None:
        """Nothing is left to say."""

    def _write(self, fact: dict[str, Any]) -> None:
        text = json.dumps(
            fact, separators=(", ", ": "), allow_nan=False
        )  # ASCII: lone surrogates stay what they are
        self._out.write(text.encode("ascii") + b"\n")
