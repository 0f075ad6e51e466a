"""A launch's process tree on Windows: a Job Object holds it, and closing the job ends all of it.

There is no fork, so that the launcher is pytest's own process; letters on its stdin are served by a
thread of it. Pipes cannot be waited for together with everything else: a thread reads the output.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

import anyio

_TICK = 0.02
_KILL_SECONDS = 5.0
_CHUNK = 2**16

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)
    _KERNEL.CreateJobObjectW.restype = wintypes.HANDLE
    _KERNEL.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
    _KERNEL.SetInformationJobObject.argtypes = (
        wintypes.HANDLE,
        ctypes.c_int,
        wintypes.LPVOID,
        wintypes.DWORD,
    )
    _KERNEL.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
    _KERNEL.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
    _KERNEL.CloseHandle.argtypes = (wintypes.HANDLE,)

    _EXTENDED_LIMITS = 9  # JobObjectExtendedLimitInformation
    _KILL_ON_CLOSE = 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE

    class _Limits(ctypes.Structure):
        """JOBOBJECT_EXTENDED_LIMIT_INFORMATION; only the flags are set."""

        _fields_ = (
            ("PerProcessUserTimeLimit", ctypes.c_int64),
            ("PerJobUserTimeLimit", ctypes.c_int64),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
            ("IoCounters", ctypes.c_uint64 * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        )

    class Job:
        """A Job Object that ends with its handle: with us, too, however we end."""

        def __init__(self, process: subprocess.Popen[bytes]) -> None:
            self._handle = _KERNEL.CreateJobObjectW(None, None)
            limits = _Limits(LimitFlags=_KILL_ON_CLOSE)
            _KERNEL.SetInformationJobObject(
                self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
            )
            _KERNEL.AssignProcessToJobObject(self._handle, int(process._handle))  # type: ignore[attr-defined]  # noqa: SLF001

        def end(self) -> None:
            _KERNEL.TerminateJobObject(self._handle, 125)

        def close(self) -> None:
            _KERNEL.CloseHandle(self._handle)

    class WindowsTree:
        """See `process.Tree`."""

        def __init__(self, popen: subprocess.Popen[bytes]) -> None:
            self._popen = popen
            self._job = Job(popen)
            self._pending: list[bytes] = []
            threading.Thread(target=self._pump, args=(popen.stdout,), daemon=True).start()

        def _pump(self, pipe: IO[bytes]) -> None:
            with suppress(OSError, ValueError), pipe:
                while data := pipe.read(_CHUNK):
                    self._pending.append(data)

        @property
        def exit_code(self) -> int | None:
            return self._popen.poll()

        def tell(self, letters: bytes) -> None:
            if self._popen.stdin is not None:
                with suppress(OSError, ValueError):
                    self._popen.stdin.write(letters)

        async def gone(self) -> None:
            while self._popen.poll() is None:  # noqa: ASYNC110 - nothing here could set an event
                await anyio.sleep(_TICK)

        async def watch(self) -> None:
            """`gone` looks by itself."""

        async def end(self) -> None:
            """End everything in the job."""
            self._job.end()
            with anyio.move_on_after(_KILL_SECONDS):
                await self.gone()

        async def read_output(self, take: Callable[[bytes], None]) -> None:
            while True:
                self._take(take)
                await anyio.sleep(_TICK)

        def close(self, take: Callable[[bytes], None]) -> None:
            self._take(take)
            self._job.close()
            if self._popen.stdin is not None:
                with suppress(OSError):
                    self._popen.stdin.close()

        def _take(self, take: Callable[[bytes], None]) -> None:
            while self._pending:
                take(self._pending.pop(0))
