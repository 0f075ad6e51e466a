"""Run folders: what a run's processes write while it goes on, and how to find runs whose server died.

They lie outside every project. A folder belongs to the process that holds the lock on its
`owner.lock`; the system frees it when that process dies, however it dies.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pytest_recall.errors import NoRoom, quoted

_LOCK = "owner.lock"
_STORY = "run.json"
_OUTPUT = "output"
_MOST_OUTPUT = 2**20
_ABANDONED_SECONDS = 3_600.0
_LITTLE = 2**16


class RunFolder:
    """The folder of one run; this process owns it until it is removed or `release`d."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock

    def launch(self, number: int) -> Path:
        """A new folder for the launch *number*."""
        path = self.path / f"launch-{number:04}"
        path.mkdir(mode=0o700)
        return path

    def launches(self) -> list[Path]:
        return sorted(self.path.glob("launch-*"))

    @property
    def full(self) -> bool:
        """Whether the disk has no room for more."""
        try:
            return shutil.disk_usage(self.path).free < _LITTLE
        except OSError:
            return False

    def write_story(self, story: dict[str, Any]) -> None:
        """What the run can be told from if nobody lives to see its end."""
        write(self.path / _STORY, story)

    def read_story(self) -> dict[str, Any]:
        return read(self.path / _STORY)

    def write_output(self, output: bytes) -> None:
        """What was printed until now; a disk that is full has no room for it."""
        with suppress(OSError):
            (self.path / _OUTPUT).write_bytes(output)

    def read_output(self) -> bytes:
        try:
            with (self.path / _OUTPUT).open("rb") as file:
                return file.read(_MOST_OUTPUT)
        except OSError:
            return b""

    def read_log(self) -> bytes:
        """The log of pytest's of all launches, that of each process under its name."""
        found = b""
        for path in sorted(self.path.glob("launch-*/log-*.txt")):
            with suppress(OSError), path.open("rb") as file:
                if text := file.read(_MOST_OUTPUT):
                    name = path.stem.removeprefix("log-")
                    found += (b"" if name == "main" else f"[{name}]\n".encode()) + text
        return found[:_MOST_OUTPUT]

    def release(self) -> None:
        self._lock.release()

    def remove(self) -> None:
        if sys.platform == "win32":  # where an open file cannot be removed
            self.release()
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


class Spool:
    """The folder of run folders of one store."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def new(self, run_id: str) -> RunFolder:
        """A folder for the run *run_id*, locked before it can be seen."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        hidden = self._root / f".{run_id}-{secrets.token_hex(4)}"
        hidden.mkdir(mode=0o700)
        if sys.platform == "win32":  # where a folder with an open file in it cannot be renamed
            hidden = hidden.rename(self._root / run_id)
        lock = FileLock(hidden / _LOCK, thread_local=False)
        lock.acquire(blocking=False)
        return RunFolder(hidden.rename(self._root / run_id), lock)

    @contextmanager
    def run_folder(self, run_id: str) -> Iterator[RunFolder]:
        """A folder for as long as the block takes. Raises NoRoom where nothing can be written."""
        try:
            folder = self.new(run_id)
        except OSError as error:
            raise self.no_room(error) from error
        try:
            yield folder
        except OSError as error:
            raise self.no_room(error) from error
        finally:
            folder.remove()

    def no_room(self, error: OSError) -> NoRoom:
        return NoRoom(
            f"The files of a run cannot be written to {quoted(str(self._root))}: {error.strerror or error}. Make room"
            " there, or choose another place with XDG_STATE_HOME."
        )

    def dead(self) -> Iterator[RunFolder]:
        """The folders whose owner is dead; each is ours while it is looked at."""
        for path in _listdir(self._root):
            if not (path / _LOCK).is_file():
                _forget(path)
                continue
            lock = FileLock(path / _LOCK, thread_local=False)
            try:
                lock.acquire(blocking=False)
            except (Timeout, OSError):
                continue
            if path.name.startswith(".") or not (path / _LOCK).is_file():
                shutil.rmtree(
                    path, ignore_errors=True
                )  # its owner died before it had begun, or removed it just now
                lock.release()
                continue
            yield RunFolder(path, lock)


def write(path: Path, value: object) -> None:
    """Put *value* there as JSON, whole or not at all."""
    aside = path.with_name(path.name + ".new")
    aside.write_text(json.dumps(value), encoding="utf-8")
    aside.replace(path)


def read(path: Path, most: int = 4 * 2**20) -> dict[str, Any]:
    """The JSON object in *path*, or an empty one: missing, torn, too large, or something else."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(most))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _forget(path: Path) -> None:
    """Remove what is no run folder, once it is old: another process may be making it right now."""
    with suppress(OSError):
        if (
            path.is_dir()
            and "cargo" not in path.name
            and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
        ):
            shutil.rmtree(path, ignore_errors=True)


def _listdir(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder))  # noqa: PTH208 - names only
    except OSError:
        return []
