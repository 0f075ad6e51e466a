"""Reports that each tell a part of one run, as Surefire's of one class: which belong together, and what they tell as one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from os.path import commonprefix

from pytest_recall.imports.report import Report

_GAP_S = 3_600.0  # between parts of one build; nights and commits lie between builds
# Where Maven's plugins and Gradle's tasks write, below each module.
_MODULE = re.compile(
    r"(?:^|[/\\!])(?:target[/\\](?:surefire|failsafe)-reports|build[/\\]test-results[/\\][^/\\]+)[/\\]$"
)


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
    """The parts of each run: those of one folder, near in time, where each has tests of its own; else every part is a run.

    So are those of a build's modules, if all tell their times; modules of two archives may be two jobs'.
    """
    runs = [run for some in folders(parts).values() for run in _joined([[part] for part in some])]
    found, archives = list[list[Part]](), dict[str, list[list[Part]]]()
    for run in runs:
        if all(part.report.started_at and _MODULE.search(folder(part.name)) for part in run):
            archives.setdefault(run[0].name.rpartition("!")[0], []).append(run)
        else:
            found.append(run)
    return found + [run for modules in archives.values() for run in _joined(modules)]


def folders(parts: Iterable[Part]) -> dict[str, list[Part]]:
    """*parts* by where they lie."""
    found = dict[str, list[Part]]()
    for part in parts:
        found.setdefault(folder(part.name), []).append(part)
    return found


def title(parts: Sequence[Part]) -> str:
    """What a reader knows *parts* by."""
    if len(parts) == 1:
        return parts[0].name
    of = folders(parts)
    modules = f" of {len(of)} folders" if len(of) > 1 else ""
    above = folder(commonprefix(list(of)))  # noqa: RUF071 - it is cut at a separator, and "!" is one
    return f"{above} ({len(parts)} reports{modules})".strip()


def whole(parts: Sequence[Part]) -> tuple[Report, bytes]:
    """What *parts* tell of their run, and its content, whatever their order."""
    reports = [part.report for part in sorted(parts, key=lambda part: part.name)]
    tests = (
        replace(test, attempts=tuple(replace(attempt, order=order) for attempt in test.attempts))
        for order, test in enumerate(test for report in reports for test in report.tests)
    )
    where = "one folder" if (number := len(folders(parts))) == 1 else f"{number} folders"
    told = dict.fromkeys(note for report in reports for note in report.notes)
    report = replace(
        reports[0],
        tests=tuple(tests),
        started_at=min((report.started_at for report in reports if report.started_at), default=0.0),
        zoned=all(report.zoned for report in reports),
        duration_s=sum(report.duration_s for report in reports),
        lost=frozenset().union(*(report.lost for report in reports)),
        doubts=tuple(dict.fromkeys(doubt for report in reports for doubt in report.doubts))[:20],
        notes=(f"Put together from {len(parts)} reports of {where}.", *list(told)[:20]),
    )
    return report, b"".join(sorted(blake2b(part.content).digest() for part in parts))


def _joined(runs: Sequence[list[Part]]) -> Iterator[list[Part]]:
    """*runs* that are near in time as one, where none tells of another one's tests."""
    for near in _near(runs):
        parts = [part for run in near for part in run]
        yield from [parts] if _differ(parts) else near


def _near(runs: Iterable[list[Part]]) -> list[list[list[Part]]]:
    """*runs*, split where nothing happened for so long that another build must have begun."""
    found: list[list[list[Part]]] = []
    until = 0.0
    for run in sorted(runs, key=lambda run: min((part.begin, part.name) for part in run)):
        if not found or min(part.begin for part in run) > until + _GAP_S:
            found.append([])
        found[-1].append(run)
        until = max(until, *(part.begin + part.report.duration_s for part in run))
    return found


def _differ(parts: Sequence[Part]) -> bool:
    """Whether no two of *parts* tell of the same test."""
    ids = [test.id for part in parts for test in part.report.tests]
    return len(set(ids)) == len(ids)
