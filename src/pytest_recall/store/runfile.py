"""The file of one run, a zip: the packed run, its row, and what was kept beside it.

`run.json` and `columns` (see `codec`), `row.json` (the run in one line, so that listing runs reads little), `output.txt`,
`report.json` and `log.txt`. Its comment names the roster it needs.
"""

from __future__ import annotations

import errno
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pytest_recall.errors import UnreadableRun, WithheldRun
from pytest_recall.model import RunFiles, RunRow
from pytest_recall.store import codec, files, shape

LARGEST = 256 << 20  # bytes of one file, and of one of its unpacked members
LEVEL = (
    5  # of deflate: 0.6 ms for a run of 5,000 tests, a tenth smaller than at 1; 2 ms for their ids, 3 at 6
)
_WITHHELD = frozenset(
    {errno.EACCES, errno.EIO, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM}
)
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    NotImplementedError,
)


def zipped(packed: codec.Packed, row: RunRow, beside: RunFiles | None = None) -> bytes:
    """A file of the journal; the list of tests that it needs is another."""
    beside = beside or RunFiles()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        archive.comment = packed.digest.encode("ascii")
        members = {
            "row.json": codec.render(shape.dump(row)),
            "run.json": packed.head,
            "columns": packed.columns,
        }
        members |= {
            "output.txt": beside.output[:LARGEST],
            "report.json": beside.report,
            "log.txt": beside.log,
        }
        for name, data in members.items():
            if data and len(data) <= LARGEST:
                archive.writestr(name, data)
    return buffer.getvalue()


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The file of a run. Raises `UnreadableRun`."""
    with _file(path) as file:
        try:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise UnreadableRun(f"{path.name} is larger than any run of ours.")
            archive = zipfile.ZipFile(file)
        except (*_BROKEN_ZIP, OSError) as error:
            raise _torn(path, error) from error
        with archive:
            yield archive


def _file(path: Path) -> BinaryIO:
    for place in (path, path.parent.parent / "runs" / path.name):  # it may be settled meanwhile
        try:
            return files.opened(place)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _torn(path, error) from error
    raise UnreadableRun(f"{path.name} is gone.")


def _torn(path: Path, error: Exception) -> UnreadableRun:
    check_let(path.name, error)
    return UnreadableRun(f"{path.name} is torn or no journal file: {error!s:.200}")


def member(archive: zipfile.ZipFile, name: str, most: int = codec.MOST) -> bytes:
    """What is in it under that name, at most so many bytes; nothing where it is not there. Raises `UnreadableRun`."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        return b""
    try:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.file_size > most:
            raise UnreadableRun(f"{name} of a stored run is no member of ours.")
        with archive.open(info) as file:
            data = file.read(most)  # never more than this, whatever the archive promises
            file.read(1)  # at its end the checksum is compared
            return data
    except (*_BROKEN_ZIP, OSError) as error:
        check_let(f"{name} of a stored run", error)
        raise UnreadableRun(f"{name} of a stored run is torn: {error!s:.200}") from error


def check_let(what: str, error: Exception) -> None:
    """Raise `WithheldRun` where it is the system that does not let us read *what*."""
    if isinstance(error, OSError) and error.errno in _WITHHELD:
        raise WithheldRun(f"{what} cannot be read just now: {error.strerror}") from error


def comment(path: Path) -> str:
    """The digest of the list of tests that it needs; "" where it cannot be read."""
    try:
        with opened(path) as archive:
            return archive.comment.decode("ascii", "replace")
    except UnreadableRun:
        return ""
