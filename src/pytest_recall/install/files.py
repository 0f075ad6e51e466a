"""A client's file on disk: read whole, written aside and renamed, never through a link that leads elsewhere."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pytest_recall.errors import BadConfiguration

MOST = 50_000_000  # bytes; Claude Code's grows with its history


def backup_of(path: Path) -> Path:
    """Where the file is kept as it was before our entry came in."""
    return path.with_name(f"{path.name}.before-pytest-recall")


def real(path: Path, within: Sequence[Path], *, meant: str = "name the file itself with --file") -> Path:
    """The file that a write to *path* changes: links are followed, but not out of the folders *within*.

    *meant* is what to do where a link leads out of them on purpose.

    Raises:
        BadConfiguration: they lead elsewhere, or in a circle.
    """
    with _teaching(path, "read"):
        try:
            target = path.resolve()
        except RuntimeError as error:  # a circle, before Python 3.13
            raise OSError(str(error)) from None
        if any(target.is_relative_to(folder.resolve()) for folder in within):
            return target
    raise BadConfiguration(
        f"{path} leads to {target}, outside {' and '.join(map(str, within))}: nothing was written. "
        f"If that is meant, {meant}."
    )


def read(path: Path) -> bytes | None:
    """All of it; None where there is no such file. Raises BadConfiguration."""
    with _teaching(path, "read"):
        try:
            with open(path, "rb", opener=_at_once) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise BadConfiguration(f"{path} is no regular file; it was left alone.")
                data = file.read(MOST + 1)
        except FileNotFoundError:
            return None
    if len(data) > MOST:
        raise BadConfiguration(f"{path} has more than {MOST} bytes; it was left alone.")
    return data


def write(path: Path, data: bytes, *, like: Path | None = None) -> None:
    """Make *path* hold *data*: the old file or the new one is there at every moment, with the permissions of *like*.

    *like* is *path* itself if not given. Raises BadConfiguration: it cannot be written; nothing has changed then.
    """
    with _teaching(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        mode = _mode(like or path)
        try:
            with open(aside, "xb", opener=partial(os.open, mode=0o666 if mode is None else 0o600)) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                aside.chmod(mode)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def _at_once(name: str, flags: int) -> int:
    """Opened without waiting: the other end of a pipe may never come."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _mode(path: Path) -> int | None:
    """Its permissions; None where there is no such file: a new one gets those that are usual here."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def remove(path: Path) -> None:
    """Make *path* be gone. Raises BadConfiguration."""
    with _teaching(path, "removed"):
        path.unlink(missing_ok=True)


@contextmanager
def _teaching(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise BadConfiguration(
            f"{path} cannot be {verb} ({why}); it was left as it was. Check the permissions of the file and of its "
            "folder, and close the program that holds it, if one does."
        ) from None
