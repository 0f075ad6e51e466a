"""Ids of runs and of what was learnt: they begin with a time, and what is made later has a greater one, whatever the clock did.

A clock that was ahead, and is right again, must not hide what comes after: new ids follow the newest that are there.
One that is ahead by more than a day is not followed, and not told of until its time has come (`adr/0039`).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

_AHEAD_S = 86_400.0  # another zone, another day; a forged id is followed no farther
_TICKS = 4_096_000  # a second: 48 bits of milliseconds, 12 of their fractions


class Ids:
    """Whoever makes ids. The random part is drawn once: ids that share it pack well in lists."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._tail = secrets.randbits(62) | 1 << 63

    def new(self, clock: Callable[[], float], *, after: str = "") -> str:
        """A UUID of version 7: greater than that *after*, and than all made here, if these are not too far ahead."""
        now = int(clock() * _TICKS)
        known = int(after.replace("-", "")[:12] + after[15:18], 16) if after else 0
        most = now + int(_AHEAD_S * _TICKS)
        with self._lock:
            self._last = max(now, *(one + 1 for one in (self._last, known) if one < most), 0)
            high, fraction = (self._last % (1 << 60)) >> 12, self._last & 0xFFF
        text = f"{high:012x}7{fraction:03x}{self._tail:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_IDS = Ids()


def new_id(clock: Callable[[], float]) -> str:
    """An id that is greater than those made so in this process before."""
    return _IDS.new(clock)


def horizon() -> str:
    """How an id begins that lies as far ahead as one may."""
    text = f"{int((time.time() + _AHEAD_S) * 1000):012x}"
    return f"{text[:8]}-{text[8:]}"
