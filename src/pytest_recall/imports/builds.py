"""Reports that each tell a part of one run, as Surefire's of one class: which belong together, and what they tell as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from pytest_recall.imports.report import Report

_GAP_S = 3_600.0  # between parts of one build; nights and commits lie between builds


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A report of tests that may not be all of their run."""

    name: str  # of its document
    content: bytes
    at: float  # when it was written
    report: Report

    @property
    def begin(self) -> float:
        return self.report.started_at or self.at - self.report.duration_s


def folder(name: str) -> str:
    """Where the document of that name lies: a folder, or one of an archive."""
    return name[: max(map(name.rfind, "/\\!")) + 1]


def builds(parts: Iterable[Part]) -> list[list[Part]]:
    """The parts of each run: those of one folder, near in time, where each has tests of its own; else every part is a run."""
    folders = dict[str, list[Part]]()
    for part in parts:
        folders.setdefault(folder(part.name), []).append(part)
    near = [group for of_folder in folders.values() for group in _near(of_folder)]
    return [run for group in near for run in ([group] if _differ(group) else [[part] for part in group])]


def whole(parts: Sequence[Part]) -> tuple[Report, bytes]:
    """What *parts* tell of their run, and its content, whatever their order."""
    reports = [part.report for part in sorted(parts, key=lambda part: part.name)]
    tests = (
        replace(test, attempts=tuple(replace(attempt, order=order) for attempt in test.attempts))
        for order, test in enumerate(test for report in reports for test in report.tests)
    )
    told = dict.fromkeys(note for report in reports for note in report.notes)
    report = replace(
        reports[0],
        tests=tuple(tests),
        started_at=min((report.started_at for report in reports if report.started_at), default=0.0),
        zoned=all(report.zoned for report in reports),
        duration_s=sum(report.duration_s for report in reports),
        lost=frozenset().union(*(report.lost for report in reports)),
        doubts=tuple(dict.fromkeys(doubt for report in reports for doubt in report.doubts))[:20],
        notes=(f"Put together from {len(parts)} reports of one folder.", *list(told)[:20]),
    )
    return report, b"".join(sorted(blake2b(part.content).digest() for part in parts))


def _near(parts: Iterable[Part]) -> list[list[Part]]:
    """*parts*, split where nothing happened for so long that another build must have begun."""
    found: list[list[Part]] = []
    until = 0.0
    for part in sorted(parts, key=lambda part: (part.begin, part.name)):
        if not found or part.begin > until + _GAP_S:
            found.append([])
        found[-1].append(part)
        until = max(until, part.begin + part.report.duration_s)
    return found


def _differ(parts: Sequence[Part]) -> bool:
    """Whether no two of *parts* tell of the same test."""
    ids = [test.id for part in parts for test in part.report.tests]
    return len(set(ids)) == len(ids)
