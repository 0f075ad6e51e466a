"""Our own log: a rotated file beside the store, that several processes may write, and that holds no secret.

    <store folder>/logs/pytest-recall.log       and .1 … .3, a megabyte each

Never on standard output, which belongs to the protocol. A disk that refuses costs lines, never a run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_recall.redact import redact

NAME = "pytest-recall.log"

_SIZE, _OLDER = 1_000_000, 3
_LONGEST = 4_000  # characters of one message
_TAIL = 200_000  # bytes that `tail` looks at


@contextmanager
def opened(folder: Path, level: str) -> Iterator[logging.Logger]:
    """The log of the store in *folder*; its file is made when the first line is written."""
    log = logging.Logger("pytest-recall", level.upper())  # noqa: LOG001 - of one store, and out of every library's reach
    handler = _Shared(folder / "logs" / NAME)
    handler.setFormatter(_Clean("%(asctime)s %(levelname)-7s %(process)d %(message)s"))
    log.addHandler(handler)
    try:
        yield log
    finally:
        handler.close()


def tail(folder: Path, lines: int) -> str:
    """The last *lines* of the log of the store in *folder*; of an earlier file too, where it was just rotated."""
    text = b""
    for path in (folder / "logs" / NAME, folder / "logs" / f"{NAME}.1"):
        if text.count(b"\n") < lines:
            with suppress(OSError), path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                text = file.read(_TAIL) + text
    kept = text.decode("utf-8", "replace").splitlines()[-lines:]
    return "\n".join(kept)


class _Clean(logging.Formatter):
    """One line a message, whatever tests put into it; without secrets."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        record.message = redact(record.message[:_LONGEST]).encode("unicode_escape").decode("ascii")
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802
        return redact(super().formatException(ei)[-4 * _LONGEST :])  # type: ignore[arg-type]


class _Shared(RotatingFileHandler):
    """A rotated file that other processes write and rotate too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(path, maxBytes=_SIZE, backupCount=_OLDER, encoding="utf-8", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._follow()
        super().emit(record)

    def doRollover(self) -> None:  # noqa: N802
        """One process rotates; the others find the new file."""
        with suppress(Timeout, OSError), FileLock(self._path.with_suffix(".lock"), timeout=0.0):
            self._follow()
            if self._path.stat().st_size >= _SIZE // 2:  # else somebody has just done it
                super().doRollover()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Nowhere to tell it."""

    def _follow(self) -> None:
        """Close the file when its name is another file's by now, or nobody's."""
        if self.stream is None:
            return
        try:
            same = os.path.samestat(os.fstat(self.stream.fileno()), self._path.stat())
        except (OSError, ValueError):
            same = False
        if not same:
            self.stream.close()
            self.stream = None  # opened anew by the next line
