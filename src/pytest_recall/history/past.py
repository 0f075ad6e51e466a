"""One test's samples, laid out for the questions that verdicts ask: cells, rate, and the streak that ends now."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import pairwise

from pytest_recall.history import lines
from pytest_recall.history.odds import clean_passes_needed, wilson
from pytest_recall.history.trend import ALONE, SHARED, SOME, in_full, without_seed
from pytest_recall.model import Outcome, Sample, TestHistory

_GREEN = frozenset({Outcome.PASSED, Outcome.XPASSED})
_WINDOW_S = 90 * 86_400.0
_RERUNS = 3  # red ones, after a first red: then chance has hardly done it


class Past:
    """What is known of one test, seen from one run: `now` (its samples in that run) and all the others.

    Samples that neither passed nor failed (xfailed) are left out, but where *xfailed* counts as not red. Samples of later
    runs count only for what time does not change: which outcomes a cell has shown. Those of a run that one cause broke
    are in no cell: they count in full only of the run itself, and of runs made *on_purpose*.
    """

    def __init__(
        self,
        history: TestHistory | None,
        now: Sequence[Sample],
        *,
        on_purpose: Collection[str] = (),
        xfailed: bool = False,
    ) -> None:
        every = {(s.run, s.attempt): s for s in (*(history.samples if history else ()), *now)}
        green = _GREEN | {Outcome.XFAILED} if xfailed else _GREEN
        telling = [s for s in every.values() if s.outcome.bad or s.outcome in green]
        telling.sort(key=_when)
        run = now[-1].run if now else telling[-1].run if telling else ""
        full = {run, *on_purpose}
        self.samples = [in_full(s) if s.run in full else s for s in telling]
        self.now = [s for s in self.samples if s.run == run]

    @property
    def here(self) -> Sample:
        return self.now[-1]

    @property
    def red(self) -> bool:
        """Whether any attempt of the run failed."""
        return any(s.outcome.bad for s in self.now)

    @cached_property
    def cells(self) -> dict[tuple[str, str], list[Sample]]:
        """Samples by revision and environment; those that prove nothing, or have no revision, are left out."""
        found: dict[tuple[str, str], list[Sample]] = {}
        for sample in self.samples:
            if sample.revision and not sample.environment.endswith(SHARED):
                found.setdefault((sample.revision, sample.environment), []).append(sample)
        return found

    @property
    def cell(self) -> list[Sample]:
        """The samples of the cell in which the run is; reruns after it too."""
        return self.cells.get((self.here.revision, self.here.environment), self.now)

    @cached_property
    def alone(self) -> list[Sample]:
        """The samples of this revision and environment from runs without the tests that usually come before."""
        own = without_seed(self.here.environment) + ALONE
        return self.cells.get((self.here.revision, own), [])

    @cached_property
    def suite(self) -> list[Sample]:
        """Those from runs with them, in the order of the present run where it has one."""
        if not self.here.environment.endswith(ALONE):
            return self.cell
        others = self._others
        whole = [s for environment, cell in others.items() if SOME not in environment for s in cell]
        return whole or max(others.values(), key=lambda cell: _when(cell[-1]), default=[])

    @cached_property
    def parts(self) -> list[list[Sample]]:
        """The same with other selections of tests than the present run's, a list each; none where that ran alone."""
        if self.here.environment.endswith(ALONE):
            return []
        own = without_seed(self.here.environment)
        return [
            cell for environment, cell in self._others.items() if environment == own or SOME in environment
        ]

    @property
    def _others(self) -> dict[str, list[Sample]]:
        """The other cells of this revision and environment in which several tests ran."""
        own = without_seed(self.here.environment)
        return {
            environment: cell
            for (revision, environment), cell in self.cells.items()
            if revision == self.here.revision
            and without_seed(environment) == own
            and environment != self.here.environment
            and not environment.endswith(ALONE)
        }

    @cached_property
    def line(self) -> list[Sample]:
        """The samples of its line of work up to the run, and later ones on its revision: reruns to confirm it."""
        until, revision = (self.here.at, self.here.run), self.here.revision
        known = [s for s in self.samples if (s.at, s.run) <= until or (revision and s.revision == revision)]
        return lines.own(known, self.here)

    @cached_property
    def streak(self) -> list[Sample]:
        """The failures at the end of the line, with no pass between."""
        return self._end([s.outcome.bad for s in self.line])

    @cached_property
    def moved(self) -> bool:
        """Whether the test, or what it imports, was changed between its last pass and the failures since."""
        before = self.line[: len(self.line) - len(self.streak)]
        last = before[-1].sources if before else ""
        return bool(last) and any(s.sources and s.sources != last for s in self.streak)

    @cached_property
    def alike(self) -> list[Sample]:
        """The end of the streak that has one fingerprint, the present one."""
        return self._end([s.outcome.bad and s.group in self.prints for s in self.line])

    @cached_property
    def prints(self) -> frozenset[str]:
        """The `group` fingerprints with which the test fails now."""
        return frozenset(s.group for s in self.now if s.outcome.bad and s.group)

    @cached_property
    def flaked(self) -> list[Sample]:
        """The samples of all cells with both outcomes (E1), cleared or not."""
        return [s for key in self._mixed for s in self.cells[key]]

    @cached_property
    def _bad(self) -> dict[tuple[str, str], int]:
        """How many samples of each cell failed."""
        return {key: sum(s.outcome.bad for s in cell) for key, cell in self.cells.items()}

    @cached_property
    def _mixed(self) -> list[tuple[str, str]]:
        """The cells with both outcomes, but for those that turned red for good."""
        return [
            key for key, bad in self._bad.items() if 0 < bad < len(self.cells[key]) and not self._shifted(key)
        ]

    @cached_property
    def _counted(self) -> list[Sample]:
        """The samples of the cells with at least one pass, but for those."""
        clean = {key for key, bad in self._bad.items() if not bad}.union(self._mixed)
        return [s for key, cell in self.cells.items() if key in clean for s in cell]

    @cached_property
    def shifted(self) -> list[Sample]:
        """The samples of this revision and environment, alone or not, where it turned red for good: nothing flakes so."""
        return self._shifted((self.here.revision, self.here.environment))

    def _shifted(self, key: tuple[str, str]) -> list[Sample]:
        """Those of the cell *key* and of the tests run alone in it: green, then red in all of at least three reruns too."""
        alike = self._kin[key[0], without_seed(key[1])]
        if sum(self._bad[k] for k in alike) <= _RERUNS:
            return []
        found = sorted((s for k in alike for s in self.cells[k]), key=_when)
        bad = [n for n, s in enumerate(found) if s.outcome.bad]
        return found if bad[0] > 0 and bad[-1] - bad[0] == len(bad) - 1 else []

    @cached_property
    def _kin(self) -> defaultdict[tuple[str, str], list[tuple[str, str]]]:
        """The cells by revision and environment, whatever the company and the order."""
        found: defaultdict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        for revision, environment in self.cells:
            found[revision, without_seed(environment)].append((revision, environment))
        return found

    @property
    def flaky_prints(self) -> frozenset[str]:
        """The fingerprints with which it failed where it also passed."""
        return frozenset(s.group for s in self.flaked if s.outcome.bad and s.group)

    def rate(self, *, without: Sequence[Sample] = ()) -> tuple[int, int]:
        """Failures x of n attempts over the cells with at least one pass, of the last 90 days."""
        since = self.samples[-1].at - _WINDOW_S if self.samples else 0.0
        left_out = {(s.run, s.attempt) for s in without}
        counted = [
            s.outcome.bad
            for s in self._counted
            if s.at >= since and not (left_out and (s.run, s.attempt) in left_out)
        ]
        return sum(counted), len(counted)

    @cached_property
    def needed(self) -> int:
        """Clean passes that outweigh the rate of flaking, as it was when the test was last seen to flake."""
        x, n = self.rate(without=self._since if self.flaked else ())
        return clean_passes_needed(wilson(x, n)[0])

    @cached_property
    def flaky(self) -> bool:
        """Whether a flake is proven and not cleared: by a change that reaches the test, then clean passes."""
        if not self.flaked:
            return False
        sources, clean = self._last_flake.sources, -1  # -1: nothing has changed yet
        for sample in self._since:
            if sources and sample.sources and sample.sources != sources:
                sources, clean = sample.sources, 0
            if clean >= 0:
                clean = -1 if sample.outcome.bad else clean + 1
            if clean >= self.needed:
                return False
        return True

    def untouched_flips(self, *, touched: bool | None) -> int:
        """How often the outcome changed with the revision while the test and its imports stayed the same.

        *touched* tells it of the last flip, where the samples do not.
        """
        line = [s for s in self.line if not s.environment.endswith(SHARED)]
        flips = [
            (a, b)
            for a, b in pairwise(line)
            if a.outcome.bad is not b.outcome.bad and a.revision != b.revision
        ]
        same = [bool(a.sources) and a.sources == b.sources for a, b in flips]
        if same and touched is not None and flips[-1][1] in self.streak:
            same[-1] = not touched
        return sum(same)

    @cached_property
    def _last_flake(self) -> Sample:
        return max(self.flaked, key=_when)

    @cached_property
    def _since(self) -> list[Sample]:
        """The samples after the last flake."""
        return self.samples[bisect_right(self.samples, _when(self._last_flake), key=_when) :]

    def _end(self, keep: list[bool]) -> list[Sample]:
        length = next((n for n, kept in enumerate(reversed(keep)) if not kept), len(keep))
        return self.line[len(keep) - length :]


def _when(sample: Sample) -> tuple[str, float, int]:
    return sample.run, sample.at, sample.attempt


def both(samples: Sequence[Sample]) -> bool:
    """Whether some of *samples* failed and some passed."""
    bad = sum(sample.outcome.bad for sample in samples)
    return 0 < bad < len(samples)
