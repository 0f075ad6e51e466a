"""Many numbers as bytes that deflate well: little-endian, all first bytes, then all second ones, …"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import sub
from typing import Any

LONGEST_S = 1e6  # seconds that a column can hold

# Seconds are the upper half of a float32 of `seconds + _BIAS`: seven bits of the number itself, and of
# everything small the same absolute grid of 2**-13 s, so that noise below it costs nothing.
_BIAS = 2.0**-6
_ROUNDED = 1 + 2.0**-9  # about half of the step that the cut takes off
_FLOAT = struct.Struct("<f")


def pack(code: str, numbers: Iterable[int]) -> bytes:
    """*numbers* as the array type *code*. Raises OverflowError for one that it cannot hold."""
    return _planes(array(code, numbers))


def unpack(code: str, data: bytes) -> array[Any]:
    """The inverse of `pack`. Raises ValueError when *data* does not make whole numbers."""
    numbers = array(code)
    width = numbers.itemsize
    count, over = divmod(len(data), width)
    if over:
        raise ValueError("columns of another length")
    raw = bytearray(len(data))
    for plane in range(width):
        raw[plane::width] = data[plane * count : (plane + 1) * count]
    numbers.frombytes(raw)
    return _little(numbers)


def pack_seconds(values: Iterable[float]) -> bytes:
    """Durations from 0 to `LONGEST_S`, two bytes each: within 0.1 ms or 1 %, whichever is more."""
    data = _little(array("f", [(value + _BIAS) * _ROUNDED for value in values])).tobytes()
    return data[2::4] + data[3::4]


def seconds(data: bytes | memoryview, at: int) -> float:
    """The duration in place *at* of what `pack_seconds` made; 0 where it makes no sense."""
    value = _FLOAT.unpack(bytes((0, 0, data[at], data[at + len(data) // 2])))[0] - _BIAS
    return float(value) if 0 <= value <= 2 * LONGEST_S else 0.0


def unpack_seconds(data: bytes | memoryview) -> list[float]:
    """All of what `pack_seconds` made."""
    half = len(data) // 2
    raw = bytearray(2 * len(data))
    raw[2::4], raw[3::4] = data[:half], data[half:]
    numbers = array("f")
    numbers.frombytes(raw)
    return [value - _BIAS if 0 <= value - _BIAS <= 2 * LONGEST_S else 0.0 for value in _little(numbers)]


def steps(numbers: Sequence[int]) -> list[int]:
    """Differences of neighbours: small, and alike, where the numbers rise steadily."""
    return list(map(sub, numbers, chain((0,), numbers)))


def _planes(numbers: array[Any]) -> bytes:
    width = numbers.itemsize
    data = _little(numbers).tobytes()
    return b"".join([data[plane::width] for plane in range(width)])


def _little(numbers: array[Any]) -> array[Any]:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers
