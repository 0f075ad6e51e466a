"""One `tar.gz` of named texts: bounded, the same bytes for the same content, with modes and owners that mean nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

MOST = 20_000_000  # bytes of all members, unpacked
MANIFEST = "MANIFEST.json"

_SMALL = 100_000  # bytes that every member may have, whatever came before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One text of the archive. What is `whole` is left out rather than cut: half a JSON text is none."""

    name: str
    text: str
    what: str  # in one line, for the manifest
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What became of one member."""

    name: str
    what: str
    size: int  # bytes in the archive
    sha256: str
    left_out: int = 0  # bytes


def pack(
    out: BinaryIO, members: Sequence[Member], *, folder: str, at: float, most: int = MOST
) -> list[Packed]:
    """Write *members* under *folder*, as of the instant *at*, the manifest first; the first ones get the room."""
    room = most
    contents: list[tuple[Packed, bytes]] = []
    for member in members:
        data = member.text.encode("utf-8", "backslashreplace")
        kept = _bounded(data, max(room, _SMALL), whole=member.whole)
        room = max(0, room - len(kept))
        packed = Packed(
            name=member.name,
            what=member.what,
            size=len(kept),
            sha256=hashlib.sha256(kept).hexdigest(),
            left_out=max(0, len(data) - len(kept)),
        )
        contents.append((packed, kept))
    listed = [packed for packed, _ in contents]
    manifest = json.dumps([_told(one) for one in listed], indent=1, ensure_ascii=False).encode() + b"\n"
    files = [(MANIFEST, manifest), *((one.name, data) for one, data in contents if data)]
    # No time and no name of a file in gzip's own head.
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0, compresslevel=6) as squeezed:
        _write(squeezed, files, folder, int(at))
    return listed


def _write(out: gzip.GzipFile, files: Iterable[tuple[str, bytes]], folder: str, at: int) -> None:
    with tarfile.open(mode="w", fileobj=out, format=tarfile.PAX_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), at, 0o644
            archive.addfile(entry, io.BytesIO(data))


def _bounded(data: bytes, most: int, *, whole: bool) -> bytes:
    if len(data) <= most:
        return data
    if whole:
        return b""
    first = most // 4
    mark = b"\n[... %d bytes left out ...]\n" % (len(data) - most)
    return data[:first] + mark + data[len(data) - (most - first - len(mark)) :]


def _told(one: Packed) -> dict[str, object]:
    told: dict[str, object] = {"name": one.name, "what": one.what, "bytes": one.size, "sha256": one.sha256}
    return told | ({"left_out": one.left_out} if one.left_out else {})
