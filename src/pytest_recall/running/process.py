"""A process tree of a launch: started, told, watched, and gone for certain when its block is left.

The child is the probe's launcher, which stays behind as supervisor of all that the tests start and
obeys letters on its stdin: `D` dump the stacks, `I` interrupt, `K` or end of file kill everything. The
pipe is also the proof: once nobody reads it any more, no supervisor is left.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import anyio

from pytest_recall.running.command import Command

_OWN_GROUP = 0
if sys.platform == "win32":
    _OWN_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW


class Output:
    """The head and the tail of a stream of bytes, whatever its length."""

    def __init__(self, keep: int = 64 * 1024) -> None:
        self._keep = keep
        self._head = bytearray()
        self._tail = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if (room := self._keep - len(self._head)) > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-self._keep :]
            if len(self._tail) > 4 * self._keep:
                del self._tail[: -self._keep]

    def content(self) -> bytes:
        """Head, a line that tells how much is missing, and tail."""
        tail = bytes(self._tail[-self._keep :])
        missing = self.size - len(self._head) - len(tail)
        return bytes(self._head) + (b"\n[... %d bytes left out ...]\n" % missing if missing else b"") + tail


class Tree(Protocol):
    """A launch's process tree, as the runner sees it."""

    def tell(self, letters: bytes) -> None:
        """Give the supervisor its orders; nothing happens where it is gone."""

    async def gone(self) -> None:
        """Return once the supervisor has left, and with it everything below it."""

    @property
    def exit_code(self) -> int | None:
        """The supervisor's, which is pytest's, or 128 + the signal; None while it lives."""


class Launcher(Protocol):
    """Starts *command* in *cwd*; when the block is left, in whatever way, nothing of it is left."""

    def __call__(
        self, command: Command, *, cwd: str, output: Output
    ) -> AbstractAsyncContextManager[Tree]: ...


@asynccontextmanager
async def start(command: Command, *, cwd: str, output: Output) -> AsyncIterator[Tree]:
    """The launcher for real: one new interpreter a launch.

    Raises:
        OSError: the interpreter could not be started.
    """
    popen = subprocess.Popen(  # noqa: ASYNC220 - a millisecond or two; asyncio's own waits for pipes to close
        command.argv,
        cwd=cwd,
        env=command.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        # A terminal's Ctrl-C is ours to pass on.
        start_new_session=sys.platform != "win32",
        creationflags=_OWN_GROUP,
    )
    tree = _started(popen)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tree.read_output, output.add)
            tasks.start_soon(tree.watch)
            try:
                yield tree
            finally:
                with anyio.CancelScope(shield=True):
                    await tree.end()
                tasks.cancel_scope.cancel()
    finally:
        tree.close(output.add)


def _started(popen: subprocess.Popen[bytes]) -> _Started:
    if sys.platform == "win32":
        from pytest_recall.running.windows import WindowsTree  # noqa: PLC0415 - there only

        return WindowsTree(popen)
    else:  # noqa: RET505 - mypy knows a platform by its branch
        from pytest_recall.running.posix import PosixTree  # noqa: PLC0415 - there only

        return PosixTree(popen)


class _Started(Tree, Protocol):
    """A tree as `start` has it in hand."""

    async def end(self) -> None:
        """Kill what is left and wait until it is gone."""

    async def watch(self) -> None:
        """Notice its end, until cancelled."""

    async def read_output(self, take: Callable[[bytes], None]) -> None:
        """Hand on what is printed, until cancelled."""

    def close(self, take: Callable[[bytes], None]) -> None:
        """Take what has not been read yet, and close our ends."""
