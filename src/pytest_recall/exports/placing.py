"""Write this file safely: the one way in which any command of ours puts a file where somebody named it.

For every export, report, bundle and metrics file: `with placing.placed(Path(output)) as out: out.write(…)`. A
folder, a device or a pipe is refused before anything is written; the file appears when it is whole and not
before; nothing else is left, in that folder or in any other.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pytest_recall.errors import BadRequest, quoted


def writable(path: Path) -> Path:
    """Where *path* leads, through links; a file may be made there.

    Raises:
        BadRequest: it is a folder or a device, or its folder does not exist.
    """
    if str(path) == "-":
        raise BadRequest("'-' is no file, and this is not written to stdout. Name a file.")
    try:
        target = path.resolve()
        if target.is_dir():
            raise BadRequest(f"{quoted(str(path))} is a folder. Name a file in it.")
        if target.exists() and not target.is_file():
            raise BadRequest(
                f"{quoted(str(path))} is a device or a pipe. Name a file, or use the shell's own `>`."
            )
        if not target.parent.is_dir():
            raise BadRequest(f"There is no folder {quoted(str(path.parent))}. Make it, or name another one.")
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, a circle of links
        raise BadRequest(f"{quoted(str(path))} is no name for a file: {error}.") from error
    return target


@contextmanager
def placed(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file *path* when all is written, and not before.

    Raises:
        BadRequest: it is a folder or a device, or cannot be written.
    """
    target = writable(path)  # a link stays one
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
