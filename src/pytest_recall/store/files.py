"""Files of a store's folder, where the tests that are run may put anything: regular ones are opened, nothing is waited for."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_SAFE = (
    getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for whoever is at its other end
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def check(path: Path) -> None:
    """Raise OSError where *path* is none, or no regular file: a link, a pipe, a device, a folder."""
    path.stat()  # what the system keeps from us is told as that, not as foreign
    _check(path.lstat(), path)


def foreign(path: Path) -> bool:
    """Whether something lies there, and is no regular file."""
    try:
        check(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def opened(path: Path) -> BinaryIO:
    """*path*, to be read. Raises OSError, also where it is no regular file."""
    check(path)  # before it is opened: that alone is something to a device
    return open(path, "rb", opener=_opener)


def begun(path: Path) -> BinaryIO:
    """*path*, to be written from its beginning. Raises OSError, also where something else lies there."""
    with suppress(FileNotFoundError):
        check(path)
    return open(path, "wb", opener=_opener)


def content(path: Path) -> bytes:
    """All of *path*. Raises OSError, also where it is no regular file."""
    with opened(path) as file:
        return file.read()


def _opener(name: str, flags: int) -> int:
    handle = os.open(name, flags | _SAFE, 0o666)
    try:
        _check(os.fstat(handle), name)  # it may have been exchanged meanwhile
    except OSError:
        os.close(handle)
        raise
    return handle


def _check(state: os.stat_result, path: Path | str) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, f"{Path(path).name} is no regular file")
