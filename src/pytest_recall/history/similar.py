"""Seen before? Known causes beside a failure, by how surely they are the same, with the words that say so."""

from __future__ import annotations

import keyword
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_recall.history.fingerprint import normalise
from pytest_recall.model import FailureHistory, Fingerprint

Tier = Literal["strict", "group", "lexical", "vector"]

NEAR = 75  # causes that words are compared with; the store asks for four times as many, and 300 is the most

_SAME: tuple[Tier, ...] = ("strict", "group")
_MOST_WORDS = 6  # shown
_LEAST_SHARED = 0.5  # of the telling words of a cause: more than that is a lexical match
_LEAST_WORDS = 2
# Of two vectors. A question in few words is not near to the long text of what it asks for (from 0.09, and 0.24 where it
# repeats the error): one telling word in common says more. Without any, hardly two texts are as near as the second by
# chance. Measured on the data of benchmarks/judgement.py.
_LEAST_LIKE = 0.05
_LEAST_WORDLESS = 0.4
# What the words in common add to the vectors' likeness, where the vectors know nothing. The nearer the nearest, the less:
# a whole traceback is well placed by its vector, one line of an error is not.
_WORDS = 0.5
# Unasked only what is as near as this is told, by words too, and of other tests: one test fails for several causes in much
# the same words. Nine of ten that are told have the cause (benchmarks/judgement.py).
_SURE = 0.85
_TEXT = 20_000  # characters

_WORD = re.compile(r"[^\W\d][\w.]*\w")
# Words of every failure, and of every traceback: they tell nothing.
_COMMON_WORDS = """
addr an and are args be call did duration error exception expected file for frame from function got has have in is it
kwargs line locals message most module no not object of on or py recent result root self site test tests the time tmp to
traceback use uuid was where with
"""
_COMMON = frozenset(keyword.kwlist) | frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A known cause: `strict` broke this very test, `group` is the same cause, the others only resemble it."""

    tier: Tier
    failure: FailureHistory
    likeness: float  # 1 for the fingerprints' tiers, else the vectors' up to 1
    words: tuple[str, ...] = ()  # shared with the asked text, the most telling first


def matches(
    text: str,
    near: Sequence[tuple[FailureHistory, float]],
    *,
    fingerprint: Fingerprint | None = None,
    test: str = "",
    root: str = "",
) -> list[Match]:
    """The causes in *near* (found by fingerprint or by vector, each with its likeness), the surest first.

    After the same fingerprint, vector and words are added: neither finds alone what both do. What is near only
    because nothing is nearer is left out.

    *text* is what was asked for: a failure's document or a pasted error; *fingerprint* and *test*
    are the failure's, where it is one.
    """
    asked = _words(normalise(text[:_TEXT], root=root))
    known = [_words(_told(failure)) for failure, _ in near]
    spread = Counter(word for words in known for word in words)
    telling = {word: math.log(1 + len(near) / number) for word, number in spread.items()}
    most = _length(telling.get(word, 0.0) for word in asked)
    doubt = 1.0 - max((likeness for _, likeness in near), default=1.0)
    found: list[tuple[float, Match]] = []
    for (failure, likeness), words in zip(near, known, strict=True):
        shared = sorted((word for word in words if word in asked), key=lambda word: -telling[word])
        share = sum(telling[word] for word in shared) / (sum(telling[word] for word in words) or 1.0)
        tier = _same(failure, fingerprint, test) or (
            "lexical" if share >= _LEAST_SHARED and len(shared) >= _LEAST_WORDS else "vector"
        )
        if tier == "vector" and likeness < (_LEAST_LIKE if shared else _LEAST_WORDLESS):
            continue
        same = tier in _SAME
        match = Match(
            tier=tier,
            failure=failure,
            likeness=1.0 if same else likeness,
            words=tuple(shared[:_MOST_WORDS]),
        )
        both = _length(telling[word] for word in shared) ** 2
        alike = both / (most * _length(telling[word] for word in words) or 1.0)  # the cosine of their words
        found.append((likeness + _WORDS * doubt * alike, match))
    found.sort(
        key=lambda each: (_SAME.index(each[1].tier) if each[1].tier in _SAME else len(_SAME), -each[0])
    )
    return [match for _, match in found]


def likest(
    text: str, near: Sequence[tuple[FailureHistory, float]], *, tests: Iterable[str], root: str = ""
) -> Match | None:
    """The one of *near* that a failure of *tests* with this document may be told to be like; None where that is a guess."""
    own = set(map(_function, tests))
    others = [
        (failure, likeness) for failure, likeness in near if own.isdisjoint(map(_function, failure.tests))
    ]
    best = next(iter(matches(text, others, root=root)), None)
    return best if best and best.tier == "lexical" and best.likeness >= _SURE else None


def same(failure: FailureHistory, tests: Iterable[str]) -> Match:
    """The cause itself, known by its fingerprint, of a failure of these *tests*."""
    own = set(failure.tests).intersection(tests)
    return Match(tier="strict" if own else "group", failure=failure, likeness=1.0)


def _function(test: str) -> str:
    return test.partition("[")[0]


def _length(weights: Iterable[float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights))


def _same(failure: FailureHistory, fingerprint: Fingerprint | None, test: str) -> Tier | None:
    if fingerprint is None or failure.fingerprint != fingerprint.group:
        return None
    return "strict" if test in failure.tests else "group"


def _told(failure: FailureHistory) -> str:
    return f"{normalise(failure.message[:2_000])} {failure.source[:400]} {failure.exception} {failure.path}"


def _words(text: str) -> dict[str, None]:
    """Names in *text*, whole and by their parts, in order: `shop.Cart.total` is also `Cart` and `total`."""
    return dict.fromkeys(part for word in _WORD.findall(text) for part in _parts(word))


def _parts(word: str) -> Iterable[str]:
    names = word.split(".")[:20] if len(word) < 200 else []  # noqa: PLR2004 -- longer than any name
    return (
        name
        for name in dict.fromkeys((word, *names))
        if name and name.lower() not in _COMMON and len(name) > 1
    )
