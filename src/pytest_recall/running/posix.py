"""A launch's process tree on POSIX: the supervisor's control pipe is also the proof that nothing is left."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import anyio

assert sys.platform != "win32"  # noqa: S101 - for the type checker: `windows` is that system's

_GUARDED = sys.platform == "linux"  # somebody stands behind the supervisor (`recall_probe/guard.py`)
_KILL_SECONDS = 12.0  # the supervisor gives up after 10
_CHUNK = 2**20
_MUCH = 2**15  # half of what a pipe holds at least
_POLL_SECONDS = 0.5  # until a killed guard is noticed
_RESTING = 0.25  # between two looks at what was printed: each of these looks costs us 0.3 ms


class PosixTree:
    """See `process.Tree`."""

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
                if reading:
                    # A test may stop its parent and that one's: what has to end the run in time must not sleep.
                    with suppress(OSError):
                        os.killpg(self._popen.pid, signal.SIGCONT)
                if reading and self._popen.poll() is not None:
                    if not _GUARDED:  # there is one supervisor, and it is gone
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
        noisy = -math.inf
        while True:
            await anyio.wait_readable(self._out)
            try:
                data = os.read(self._out, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                return
            take(data)
            if len(data) >= _MUCH:
                noisy = time.monotonic()
            elif time.monotonic() - noisy > _RESTING:
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
