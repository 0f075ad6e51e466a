"""How long the calls of a run's passing tests took, in a column beside ids that runs of the same tests share."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

_NOT = math.nan  # it did not pass


class Seconds(Mapping[str, float]):
    """Seconds by test. *values* has a place for each of *ids*, NaN where it did not pass; *place* finds one sooner."""

    def __init__(
        self, ids: Sequence[str], values: array[float], place: Callable[[str], int | None] | None = None
    ) -> None:
        self.ids = ids
        self.column = values
        self._place = place or self._places.get

    @cached_property
    def _places(self) -> dict[str, int]:
        return {test: at for at, test in enumerate(self.ids)}

    def renamed(self, name: Callable[[str], str]) -> Seconds:
        """The same under other names; without those whose name is empty."""
        found: dict[str, float] = {}
        for test, seconds in zip(map(name, self.ids), self.column, strict=True):
            if test and math.isnan(
                found.get(test, _NOT)
            ):  # of two that have one name now, the one that passed
                found[test] = seconds
        return Seconds(list(found), array("d", found.values()))

    def __getitem__(self, test: str) -> float:
        at = self._place(test)
        if at is None or math.isnan(self.column[at]):
            raise KeyError(test)
        return self.column[at]

    def __iter__(self) -> Iterator[str]:
        return (test for test, one in zip(self.ids, self.column, strict=True) if not math.isnan(one))

    def __len__(self) -> int:
        return sum(not math.isnan(one) for one in self.column)


NONE = Seconds((), array("d"))


def beside(runs: Sequence[Seconds]) -> tuple[Sequence[str], list[array[float]]]:
    """The tests of all *runs*, and of each run a column with a place for each of them."""
    if not runs:
        return (), []
    first = runs[0].ids
    if all(one.ids is first or one.ids == first for one in runs):
        return first, [one.column for one in runs]
    ids = list(dict.fromkeys(test for one in runs for test in one.ids))
    places = {test: at for at, test in enumerate(ids)}
    return ids, [_moved(one, places) for one in runs]


def _moved(one: Seconds, places: Mapping[str, int]) -> array[float]:
    column = array("d", [_NOT]) * len(places)
    for test, seconds in zip(one.ids, one.column, strict=True):
        column[places[test]] = seconds
    return column
