"""Text of a failure as a vector: hashed words and their parts, weighted; numpy only, no model, no download."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = "recall-1"
DIMENSIONS = 384

_WORD = re.compile(r"[A-Za-z_<>][\w<>]*|\d+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MOST = 2_000  # words that are looked at
# Both measured by benchmarks/judgement.py: a word that comes again says little more, a part half as much.
_SATURATION = 0.3
_PART_WEIGHT = 0.5


def embed(text: str) -> NDArray[np.float32]:
    """*text* as a unit vector of `DIMENSIONS`; a text without words gives a constant one."""
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    for token, count in _tokens(text).items():
        digest = crc32(token.encode("utf-8", "replace"))
        weight = count * (1 + _SATURATION) / (count + _SATURATION)
        vector[digest % DIMENSIONS] += weight if digest & 1 << 31 else -weight
    length = float(np.linalg.norm(vector))
    if length == 0:
        vector[0] = length = 1.0
    return vector / np.float32(length)


def _tokens(text: str) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for word in _WORD.findall(text)[:_MOST]:
        found[word] += 1
        parts = _PART.findall(word)
        if len(parts) > 1:
            for part in parts:
                found[f"~{part.lower()}"] += _PART_WEIGHT
    return found
