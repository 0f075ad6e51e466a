"""The arithmetic behind the verdicts: intervals, rankings, how often to rerun, and when slow is slower.

The constants were fitted to FlakeFlagger's counts (22,245 Java tests x 10,000 runs).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

_ALPHA, _BETA = 0.17, 1.35  # failure rates of flaky tests
_JUST_ALPHA, _JUST_BETA = 3.95, 4.9  # of those that have just failed: the frequent ones are met more often
_FEWEST, _MOST = 5, 300  # clean passes

_RATIO, _DELTA_S, _Z = 1.3, 0.1, 3.5
_BASELINE, _IN_A_ROW = 20, 3
_LEAST_SPREAD = 0.02  # of log durations: a clock that always says the same is not that exact


def wilson(x: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a rate of which *x* of *n* were seen; (0, 1) for n = 0."""
    if not n:
        return 0.0, 1.0
    rate, square = x / n, z * z
    middle = rate + square / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + square / (4 * n * n))
    low, high = ((middle + side) / (1 + square / n) for side in (-half, half))
    return (low if x else 0.0), (high if x < n else 1.0)


def beta_rank(x: int, n: int) -> float:
    """The mean failure rate, after *x* failures of *n* attempts, of a test known to be flaky."""
    return (_ALPHA + x) / (_ALPHA + _BETA + n)


def red_again(x: int, n: int, k: int) -> float:
    """The probability that a flaky test with *x* failures of *n* attempts fails the next *k* in a row."""
    return _red_and_green(_ALPHA + x, _BETA + n - x, k)


def clean_passes_needed(p_low: float) -> int:
    """Passes in a row that a test flaking at least at *p_low* would hardly (5 %) show; 5 to 300."""
    if p_low <= 0:
        return _MOST
    if p_low >= 1:
        return _FEWEST
    return min(max(math.ceil(math.log(0.05) / math.log(1 - p_low)), _FEWEST), _MOST)


def posterior_real(k: int, prior: float = 0.5, *, passed: int = 0) -> float:
    """The probability that a failure is real after *k* reruns on the same revision, all of them red.

    *passed* attempts before the change, all green, speak against a flake that fails as often as that.
    """
    flaky = (1 - prior) * _red_and_green(_JUST_ALPHA, _JUST_BETA, k, passed)
    return prior / (prior + flaky) if prior else 0.0


def noise(durations: Iterable[float], usual: Iterable[float]) -> float:
    """How slow the machine was in one run: the median ratio of its tests to their usual durations (s).

    NaN stands for a test that did not pass, or never did.
    """
    ratios = [one / other for one, other in zip(durations, usual, strict=True) if other > 0 and one == one]  # noqa: PLR0124 - no NaN
    return median(ratios) if ratios else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """A test that got slower: seconds before and now, both free of the machine's noise."""

    before_s: float
    now_s: float

    @property
    def ratio(self) -> float:
        return self.now_s / self.before_s if self.before_s else math.inf


def slower(baseline: Sequence[float], recent: Sequence[float]) -> Slower | None:
    """Whether the last three of *recent* are slower than *baseline*, each beyond noise; None where not.

    Both are call durations of passed attempts in one environment, in seconds, each divided by its run's `noise`.
    """
    last = recent[-_IN_A_ROW:]
    past = [seconds for seconds in baseline if seconds > 0]
    if len(past) < _BASELINE or len(last) < _IN_A_ROW:
        return None
    usual = median(past)
    if min(last) <= max(_RATIO * usual, usual + _DELTA_S):  # nearly always, and soon told
        return None
    logs = [math.log(seconds / usual) for seconds in past]
    spread = max(median(abs(value - median(logs)) for value in logs), _LEAST_SPREAD)
    beyond = min(last) > usual * math.exp(_Z * spread / 0.6745)
    return Slower(before_s=usual, now_s=median(last)) if beyond else None


def _red_and_green(alpha: float, beta: float, red: int, green: int = 0) -> float:
    failing = math.prod((alpha + i) / (alpha + beta + i) for i in range(red))
    return failing * math.prod((beta + i) / (alpha + beta + red + i) for i in range(green))
