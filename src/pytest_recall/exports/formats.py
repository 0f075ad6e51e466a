"""The formats of `export`, by name."""

from __future__ import annotations

from typing import BinaryIO, Protocol

from pytest_recall.errors import BadRequest, listed, quoted
from pytest_recall.exports.ctrf import CTRF
from pytest_recall.exports.junit import JUnit
from pytest_recall.exports.lines import Dump, Lines
from pytest_recall.model import Run

FORMATS = ("jsonl", "junit", "ctrf")


class Writer(Protocol):
    def add(self, run: Run) -> None:
        """Write *run*. Raises `BadRequest` where the format holds no further one."""

    def close(self) -> None:
        """Write what ends the document."""


def writer(name: str, out: BinaryIO, dump: Dump) -> Writer:
    """The writer of that format. Raises `BadRequest`."""
    match name:
        case "jsonl":
            return Lines(out, dump)
        case "junit":
            return JUnit(out)
        case "ctrf":
            return CTRF(out)
        case _:
            raise BadRequest(f"No format {quoted(name)}. Formats: {listed(FORMATS)}.")
