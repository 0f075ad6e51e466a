"""A Chroma server that other machines feed as well: no lock on it, but one on the rows of our own folder."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_recall.errors import RecallError, StoreUnavailable
from pytest_recall.store import files
from pytest_recall.store.backend import Cloud, Http
from pytest_recall.store.chroma import Collections


class Shared:
    """The collections on a server. Used by one thread of one process.

    Only processes of this folder write its rows, one at a time; the *generation* tells them when another
    one did, so that none trusts what it remembers of them.
    """

    generation = ""  # of the whole store: nobody knows it here

    def __init__(self, backend: Http | Cloud, folder: Path, writer: str, *, wait_s: float = 10.0) -> None:
        self._backend = backend
        self._writer = writer
        self._lock = FileLock(folder / "chroma.lock")
        self._note = folder / "generation"
        self._wait_s = wait_s
        self._opened: Collections | None = None
        self._own = ""
        self.index = ""  # its name, once it has been asked
        self.places = (folder / "chroma",)  # an index of our own, from before there was a server

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process of this folder writes its rows, or settles runs of the journal. Raises `StoreUnavailable`."""
        try:
            held = self._lock.acquire(timeout=self._wait_s)
        except Timeout as error:
            raise StoreUnavailable("Another process is writing to the index of past runs.") from error
        with held:
            yield

    @contextmanager
    def reading(self) -> Iterator[Collections]:
        """The collections. Raises `StoreUnavailable` when the server does not answer."""
        try:
            if self._opened is None:
                self._opened = Collections(self._backend, self._writer)
                self.index = str(self._opened.all["runs"].id)  # another one where a server was emptied
            yield self._opened
        except RecallError:
            raise
        except Exception as error:
            self._opened = None  # a server that was away may come back as another one
            raise StoreUnavailable(
                f"The Chroma server did not answer as it should ({type(error).__name__}: {error!s:.200})."
            ) from error

    @contextmanager
    def writing(self) -> Iterator[Collections]:
        """The same, to write rows of this folder.

        Raises `StoreUnavailable`, also when another process of this machine writes for too long.
        """
        with self.alone(), self.reading() as collections:
            if self._own != self._generation():
                collections.forget()
            self._own = ""
            try:
                yield collections
            finally:
                self._own = secrets.token_hex(8)
                with files.begun(self._note) as note:
                    note.write(self._own.encode("ascii"))

    def rebuild(self, fill: Callable[[Collections], int], *, anyway: bool) -> bool:  # noqa: ARG002
        """Add what the server lacks. It is not ours to be emptied."""
        with self.writing() as collections:
            fill(collections)
        return True

    def close(self) -> None:
        """Forget the connection; the next use makes a new one."""
        self._opened = None

    def damaged(self) -> list[str]:
        """Nothing: whose server it is knows."""
        return []

    def size(self) -> int:
        """Unknown: 0."""
        return 0

    def _generation(self) -> str:
        with suppress(OSError):
            return files.content(self._note).decode("ascii", "replace")
        return ""
