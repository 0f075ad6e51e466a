"""The formats of `export`, and where they are written: a stream, or a file that appears when it is whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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


@contextmanager
def placed(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file *path* when all is written, and not before.

    Raises:
        BadRequest: it is a folder or a device, or cannot be written.
    """
    target = path.resolve()  # a link stays one
    if target.is_dir():
        raise BadRequest(f"{quoted(str(path))} is a folder. Name a file in it.")
    if target.exists() and not target.is_file():
        raise BadRequest(
            f"{quoted(str(path))} is a device or a pipe. Leave -o out and use the shell's own `>`."
        )
    aside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise BadRequest(f"{quoted(str(path))} cannot be written: {error.strerror or error}.") from error
    finally:
        aside.unlink(missing_ok=True)
