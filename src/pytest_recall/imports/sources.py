"""Where reports come from: files, folders, archives and stdin, all bounded, each document with the name of its place."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from pytest_recall.errors import Unimportable, quoted
from pytest_recall.imports.formats import likely, sniff

MOST_BYTES = 256 << 20  # of one document
_MOST_TOTAL = 2 << 30  # of all documents of one import
_MOST_FILES = 20_000  # files of folders and members of archives that are looked at
_MOST_RATIO = 500  # of packed to unpacked, where it matters
_SMALL = 4 << 20
_DEEPEST = 2  # archives within archives
_SNIFFED = 64 << 10
_PASSED_OVER = frozenset({"node_modules", "__pycache__"})
_MEMORY = ".pytest-recall"

_JOURNAL = (
    "is a run in a store of pytest-recall's. `pytest-recall store export FILE` there and `pytest-recall store import "
    "FILE` here bring it over whole"
)
_TAR_AT, _TAR = 257, b"ustar"
_PACKED: Mapping[bytes, Callable[[Any], IO[bytes]]] = {
    b"\x1f\x8b": cast("Callable[[Any], IO[bytes]]", gzip.open),
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_UNREAD = {  # Python has nothing for these before 3.14, or nothing at all
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -d FILE"),
    b"\x04\x22\x4d\x18": ("lz4", "lz4 -d FILE"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x FILE"),
    b"Rar!\x1a\x07": ("RAR", "unrar x FILE"),
}
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    KeyError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Something that may be a report: `name` tells where it was, archives included."""

    name: str
    data: bytes
    at: float  # when it was last written, seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something that was not read, and why."""

    name: str
    why: str


@dataclass(slots=True)
class Sources:
    """What to import. Iterating gives documents and refusals, in order; `passed_over` counts files, and hidden folders, that are none."""

    places: Sequence[str]  # files and folders; "-" is *stdin*
    stdin: BinaryIO | None = None
    shown: tuple[str, str] = ("", "")  # a folder, and what its name is in the names of documents
    own: Path | None = None  # the memory that is imported into: what its inbox holds may still be written
    passed_over: int = 0
    _seen: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[Document | Refused]:
        for place in self.places:
            if place == "-":
                yield from self._stdin()
            else:
                yield from self._place(Path(place))

    def _stdin(self) -> Iterator[Document | Refused]:
        if self.stdin is None:
            raise Unimportable("No stdin to read from. Name files or folders.")
        yield from self._stream(self.stdin, "stdin", time.time(), asked=True)

    def _place(self, path: Path) -> Iterator[Document | Refused]:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "no such path"
            yield Refused(name=str(path), why=f"cannot be read: {why}")
            return
        if stat.S_ISDIR(mode):
            yield from self._folder(path)
        elif stat.S_ISREG(mode):
            yield from self._file(path, self._named(path), asked=True)
        else:
            yield Refused(name=str(path), why="is a device or a pipe. Pass '-' and pipe it into stdin.")

    def _folder(self, folder: Path) -> Iterator[Document | Refused]:
        for here, folders, names in os.walk(folder):  # links to folders are not followed
            inside = sorted(name for name in folders if self._enters(Path(here), name))
            self.passed_over += len(folders) - len(inside)
            folders[:] = inside
            for name in sorted(names):
                path = Path(here, name)
                if not self._may():
                    yield self._too_many(str(folder))
                    return
                if path.is_symlink() or not path.is_file():
                    self.passed_over += 1
                    continue
                yield from self._file(path, self._named(path), asked=False)

    def _enters(self, here: Path, name: str) -> bool:
        """Whether reports may lie there; of another project's memory only the inbox, as an artefact of CI has it."""
        own = self.own
        if own and name == own.name and os.path.realpath(here / name) == os.path.realpath(own):
            return False
        if name == _MEMORY:
            return True
        if here.name == _MEMORY:
            return name == "inbox"
        return not name.startswith(".") and name not in _PASSED_OVER

    def _named(self, path: Path) -> str:
        folder, name = self.shown
        return str(path).replace(folder, name, 1) if folder else str(path)

    def _file(self, path: Path, name: str, *, asked: bool) -> Iterator[Document | Refused]:
        try:
            with path.open("rb") as file:
                yield from self._stream(file, name, path.stat().st_mtime, asked=asked)
        except OSError as error:
            yield Refused(name=name, why=f"cannot be read: {error.strerror or type(error).__name__}")

    # --- contents -------------------------------------------------------------------------

    def _stream(
        self, file: IO[bytes], name: str, at: float, *, asked: bool, depth: int = 0, packed: int = 0
    ) -> Iterator[Document | Refused]:
        """The documents in *file*: one, or those of an archive. *asked*: say so where it is no report."""
        head = file.read(_SNIFFED)
        is_archive = head.startswith((*_PACKED, b"PK\x03\x04")) or head[_TAR_AT:].startswith(_TAR)
        if not is_archive and not (sniff(head) if asked else likely(head)):
            if asked:
                yield Refused(name=name, why=_no_report(head))
            else:
                self.passed_over += 1
            return
        data = head + file.read(MOST_BYTES + 1 - len(head))
        self._bytes += len(data)
        why = self._too_large(len(data), packed)
        if not why and is_archive and depth > _DEEPEST:
            why = f"is an archive inside {_DEEPEST} others"
        if why:
            yield Refused(name=name, why=why)
        elif is_archive:
            yield from self._archive(data, name, at, asked=asked, depth=depth)
        else:
            yield Document(name=name, data=data, at=at)

    def _archive(
        self, data: bytes, name: str, at: float, *, asked: bool, depth: int
    ) -> Iterator[Document | Refused]:
        try:
            opener = next((opener for magic, opener in _PACKED.items() if data.startswith(magic)), None)
            if opener is not None:  # one file; often a tar
                with opener(io.BytesIO(data)) as packed:
                    inner = cast("IO[bytes]", _Unpacked(packed))
                    yield from self._stream(inner, name, at, asked=asked, depth=depth + 1, packed=len(data))
                return
            if _is_journal(data):  # its JSON report would be a poorer double of the run itself
                yield Refused(name=name, why=_JOURNAL)
                return
            for member in (_zip if data.startswith(b"PK") else _tar)(io.BytesIO(data)):
                if not self._may():
                    yield self._too_many(name)
                    return
                yield from self._member(member, f"{name}!{_shown(member.name)}", depth)
        except _BROKEN as error:
            yield Refused(name=name, why=f"is a broken archive: {_said(error)}")

    def _member(self, member: _Member, label: str, depth: int) -> Iterator[Document | Refused]:
        if _escapes(member.name):
            yield Refused(name=label, why="leads out of the archive")
        elif member.why:
            yield Refused(name=label, why=member.why)
        else:
            try:
                with member.open() as file:
                    yield from self._stream(
                        file, label, member.at, asked=False, depth=depth + 1, packed=member.packed
                    )
            except _BROKEN as error:
                yield Refused(name=label, why=f"is broken: {_said(error)}")

    # --- bounds ---------------------------------------------------------------------------

    def _may(self) -> bool:
        self._seen += 1
        return self._seen <= _MOST_FILES

    def _too_many(self, name: str) -> Refused:
        return Refused(name=name, why=f"has more than {_MOST_FILES:,} files; the rest was not looked at")

    def _too_large(self, size: int, packed: int) -> str:
        if size > MOST_BYTES:
            return f"is larger than {MOST_BYTES >> 20} MB"
        if self._bytes > _MOST_TOTAL:
            return f"is beyond the {_MOST_TOTAL >> 30} GB that one import reads"
        if packed and size > _SMALL and size > _MOST_RATIO * packed:
            return f"unpacks to more than {_MOST_RATIO} times its size"
        return ""


# --- archives -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A file in an archive. `packed` is how many bytes it has in it, 0 where that is not told."""

    name: str
    at: float
    open: Callable[[], IO[bytes]]
    packed: int = 0
    why: str = ""  # it may not be read


class _Unpacked:
    """What was packed. Where that ends too soon, of a tar as much as there is: `_tar` tells what is missing."""

    def __init__(self, packed: Any) -> None:
        self._packed = packed
        self._head = b""

    def read(self, size: int) -> bytes:
        found = bytearray()
        try:
            while len(found) < size and (piece := self._packed.read1(size - len(found))):
                found += piece
        except EOFError:
            if not (self._head or found).startswith(_TAR, _TAR_AT):
                raise
        self._head = self._head or bytes(found[: tarfile.BLOCKSIZE])
        return bytes(found)


def _zip(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                link = stat.S_ISLNK(info.external_attr >> 16)
                yield _Member(
                    name=info.filename,
                    at=_local(info.date_time),
                    open=partial(archive.open, info),
                    packed=info.compress_size,
                    why="is a link" if link else "is encrypted" if info.flag_bits & 1 else "",
                )


def _tar(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if not info.isdir():
                yield _Member(
                    name=info.name,
                    at=float(info.mtime),
                    # Of a regular file there is always something to read.
                    open=partial(cast("Callable[[tarfile.TarInfo], IO[bytes]]", archive.extractfile), info),
                    why="" if info.isreg() else "is a link or a device",
                )
        # tarfile takes a header that it cannot read for the end.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("what comes after the last of these files is missing or damaged")


def _no_report(head: bytes) -> str:
    for magic, (name, command) in _UNREAD.items():
        if head.startswith(magic):
            return f"is packed by {name}, which is not read here. Unpack it (`{command}`) and import what is in it"
    return "is no test report: neither XML nor JSON" if head else "is empty"


def _is_journal(data: bytes) -> bool:
    if not data.startswith(b"PK"):
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {"row.json", "run.json", "columns"} <= set(archive.namelist())


def _local(stamp: tuple[int, ...]) -> float:
    try:
        return datetime(*stamp).timestamp()  # type: ignore[arg-type]  # noqa: DTZ001 - zip writes local time
    except (ValueError, OverflowError, OSError, TypeError):
        return 0.0


def _escapes(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or name[1:2] == ":"


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 200 else quoted(name)  # noqa: PLR2004 - a label


def _said(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
