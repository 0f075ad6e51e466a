"""A process tree of a launch: started, told, watched, and gone for certain when its block is left.

The child is the probe's launcher, which stays behind as supervisor of all that the tests start and
obeys letters on its stdin: `D` dump the stacks, `I` interrupt, `K` or end of file kill everything. The
pipe is also the proof: once nobody reads it any more, no supervisor is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import anyio

from pytest_recall.running.command import Command

_KILL_SECONDS = 12.0  # the supervisor gives up after 10
_CHUNK = 2**20
_MUCH = 2**15  # half of what a pipe holds at least
_POLL_SECONDS = 0.25  # until a killed guard is noticed
_RESTING = 0.1  # between two looks at what was printed
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
    return _Posix(popen)


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


class _Posix:
    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        assert popen.stdin is not None  # noqa: S101 - for the type checker
        assert popen.stdout is not None  # noqa: S101
        self._popen = popen
        self._control = popen.stdin.fileno()
        self._out = popen.stdout.fileno()
        self._left = anyio.Event()
        self._watching = anyio.CancelScope(shield=True)
        os.set_blocking(self._control, False)
        os.set_blocking(self._out, False)
        _widen(self._out)

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll()

    def tell(self, letters: bytes) -> None:
        with suppress(OSError):
            os.write(self._control, letters)

    async def gone(self) -> None:
        await self._left.wait()

    async def watch(self) -> None:
        """Notice when nobody reads the control pipe any more. Only `end` cancels it: it has to see the end."""
        with self._watching:
            reading = True
            while reading:
                with anyio.move_on_after(_POLL_SECONDS):
                    # A pipe's writing end becomes readable when its last reader closes it.
                    await anyio.wait_readable(self._control)
                    reading = False
                if reading and self._popen.poll() is not None:
                    if sys.platform != "linux":  # there is one supervisor, and it is gone
                        break
                    # Our child is dead, and a supervisor lives: it was the outer one that was killed.
                    self.tell(b"K")
            self._popen.wait()
            self._left.set()

    async def end(self) -> None:
        """Kill what is left and wait until it is gone."""
        self.tell(b"K")
        with anyio.move_on_after(_KILL_SECONDS):
            await self.gone()
            return
        self._watching.cancel()
        with suppress(OSError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(1.0)

    async def read_output(self, take: Callable[[bytes], None]) -> None:
        """Hand on what is printed. Its end is never waited for: a leaked grandchild may hold the pipe."""
        while True:
            await anyio.wait_readable(self._out)
            try:
                data = os.read(self._out, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                return
            take(data)
            if len(data) < _MUCH:
                # pytest prints a letter a test: to wake up for each costs us more than the test itself.
                await anyio.sleep(_RESTING)

    def close(self, take: Callable[[bytes], None]) -> None:
        """Take what is still in the pipe, and close our ends."""
        with suppress(OSError):
            while data := os.read(self._out, _CHUNK):
                take(data)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _widen(pipe: int) -> None:
    """Make room for a noisy suite, so that it need not wait for us."""
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415 - POSIX only

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _CHUNK)
