"""What runs on purpose showed of one test, beside what it did in the runs that somebody asked for."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_recall.model import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Samples of one test, by how it was run to learn what its failure means."""

    again: tuple[Sample, ...] = ()  # as in the failing run: may be in the history already
    alone: tuple[Sample, ...] = ()  # on its revision, without the tests that passed
    together: tuple[Sample, ...] = ()  # on its revision, after the same tests, by other means than that run
    base: tuple[Sample, ...] = ()  # at the base revision
    commit: str = ""  # which that is
    causes: tuple[
        str, ...
    ] = ()  # `group` fingerprints of all its failures there; a sample has the first one's
    whole: bool = False  # it lies before all of the branch's changes, and not only before what is uncommitted
    failed: tuple[str, ...] = ()  # digests of other revisions at which it failed so, on the way to that
    searched: bool = False  # for what it depends on, to the end, and no single test or module does it
    polluter: str = ""  # the test after which it ends as in the suite, and not as alone
    imported: bool = False  # that is a module, of which no test has to run
    command: str = ""  # shows that, in a shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was shown of the failures of one run: kept, so that every later answer about them knows it."""

    run: str
    at: float
    proofs: tuple[tuple[str, Proof], ...]  # by test
    remarks: tuple[str, ...] = ()  # what could not be proven, and why


NOTHING = Proof()
