"""Text of a failure as a vector: hashed words and their parts, weighted; numpy only, no model, no download."""

from __future__ import annotations

import re
from collections import Counter
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


def embed(text: str) -> NDArray[np.float32]:
    """*text* as a unit vector of `DIMENSIONS`; a text without words gives a constant one."""
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    for token, count in _tokens(text).items():
        digest = crc32(token.encode("utf-8", "replace"))
        weight = count * 2.2 / (count + 1.2)
        vector[digest % DIMENSIONS] += weight if digest & 1 << 31 else -weight
    length = float(np.linalg.norm(vector))
    if length == 0:
        vector[0] = length = 1.0
    return vector / np.float32(length)


def _tokens(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for word in _WORD.findall(text)[:_MOST]:
        found[word] += 1
        parts = _PART.findall(word)
        if len(parts) > 1:
            for part in parts:
                found[f"~{part.lower()}"] += 1
    return found
