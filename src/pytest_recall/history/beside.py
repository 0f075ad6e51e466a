"""Two places beside each other: what all runs of one say together, and what differs around them, likeliest cause first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from pytest_recall.history.trend import environment_digest, without_seed
from pytest_recall.model import Collector, Environment, Failure, Outcome, Run, Test
from pytest_recall.suite import Tests

_SILENT = frozenset({Outcome.SKIPPED, Outcome.XFAILED, Outcome.NOT_RUN})
_SITE = re.compile(r"-packages[/\\]([\w.]+)")
_NAMED = re.compile(r"(?:No module named|from|module|requires|package) ['\"`]?([A-Za-z][\w-]*)")
_SEPARATORS = re.compile(r"[-_.]+")
_OTHERS = 12  # packages that nothing points to


# --- several runs as one --------------------------------------------------------------------


def joined(runs: Sequence[Run]) -> Run:
    """*runs* of one place and revision, newest first, as one: what fails in any of their environments, fails here.

    In one environment the newest word on a test counts; it keeps the run's own order of tests.
    """
    found: dict[str, Test] = {}
    collectors: dict[str, Collector] = {}
    said: set[tuple[str, str]] = set()
    for run in runs:
        environment = without_seed(environment_digest(run.environment, env=run.request.env))
        for test in run.tests:
            if (test.id, environment) not in said and test.outcome is not Outcome.NOT_RUN:
                said.add((test.id, environment))
                found[test.id] = _louder(found.get(test.id), test)
        for one in run.collectors:
            if (one.id, environment) not in said and not _collected(found, one.id):
                said.add((one.id, environment))
                collectors.setdefault(one.id, one)
    return replace(
        runs[0],
        tests=Tests.of(found.values()),
        collectors=tuple(collectors.values()),
        not_run=tuple(dict.fromkeys(test for run in runs for test in run.not_run if test not in found)),
        collected=max(len(found), *(run.collected for run in runs)),
    )


def _louder(old: Test | None, new: Test) -> Test:
    """A failure rather than a pass, and a pass rather than silence."""
    if old is None or (new.outcome.bad and not old.outcome.bad):
        return new
    return new if old.outcome in _SILENT and new.outcome not in _SILENT else old


def _collected(tests: Iterable[str], collector: str) -> bool:
    """Whether a newer run has tests of that module or folder."""
    return any(test.startswith((f"{collector}::", f"{collector}/")) for test in tests)


def telling(runs: Sequence[Run], tests: Collection[str], *, bad: bool) -> Run:
    """Of *runs* that in which most of *tests* failed, or (not *bad*) passed: where to look for the reason."""
    wanted = frozenset(tests)

    def fitting(run: Run) -> int:
        tests = sum(one.outcome.bad is bad for one in run.tests.among(wanted))
        return tests + sum(one.outcome.bad is bad for one in run.collectors if one.id in wanted)

    return max(runs, key=fitting)


# --- environments ---------------------------------------------------------------------------


def differing(before: Environment, after: Environment, failures: Sequence[Failure] = ()) -> tuple[str, ...]:
    """What differs between two environments, in words.

    First the packages that *failures* went through or name, then interpreter, pytest, its plugins, machine and
    order of the tests, and last what else is installed.
    """
    plugins = _versions((*before.plugins, *after.plugins)).keys()
    old, new = (_versions((*one.plugins, *one.packages)) for one in (before, after))
    # Where one side does not tell what is installed, what the other one has is no difference.
    both = bool(before.packages and after.packages)
    changed = {
        name: f"{name}: {old.get(name) or 'none'} → {new.get(name) or 'none'}"
        for name in sorted({*old, *new})
        if name != "pytest"  # told beside Python
        and old.get(name) != new.get(name)
        and (both or name in plugins or (name in old and name in new))
    }
    if not (both or (before.plugins and after.plugins)):
        changed = {name: text for name, text in changed.items() if name in old and name in new}
    through, named = _through(failures), _named(failures)
    first = [name for name in changed if through[name]]
    first.sort(key=lambda name: -through[name])
    second = [name for name in changed if name in named and name not in first]
    rest = [name for name in changed if name not in first and name not in second]
    others = [changed[name] for name in rest if name not in plugins]
    lines = [
        *(f"{changed[name]}, in frames of {_failures(through[name])}" for name in first),
        *(f"{changed[name]}, named by failures" for name in second),
        *_told(before, after, ("python", "pytest")),
        *(changed[name] for name in rest if name in plugins),
        *_told(before, after, ("os", "arch")),
        *_plain(before, after, ("workers", "seed")),
        *others[:_OTHERS],
        *([f"… and {len(others) - _OTHERS} other packages"] if len(others) > _OTHERS else []),
    ]
    explained = changed or before.pytest != after.pytest or not (_installed(before) and _installed(after))
    if not explained and before.distributions != after.distributions:
        lines.append("the installed distributions differ")
    return tuple(lines)


def _installed(environment: Environment) -> bool:
    """Whether `distributions` is of what was installed there, and does not stand for a report that tells nothing of it."""
    return not environment.distributions.startswith(("job ", "unknown "))


def _told(before: Environment, after: Environment, fields: Sequence[str]) -> list[str]:
    """Where one side does not tell it, what the other one says is no difference."""
    return _plain(before, after, [name for name in fields if getattr(before, name) and getattr(after, name)])


def _plain(before: Environment, after: Environment, fields: Sequence[str]) -> list[str]:
    return [
        f"{name}: {getattr(before, name) or 'none'} → {getattr(after, name) or 'none'}"
        for name in fields
        if getattr(before, name) != getattr(after, name)
    ]


def _versions(packages: Sequence[str]) -> dict[str, str]:
    """Name, as every tool spells it alike, → version."""
    return {_spelt(name): version for name, _, version in (one.rpartition("-") for one in packages) if name}


def _spelt(name: str) -> str:
    return _SEPARATORS.sub("-", name).lower()


def _failures(number: int) -> str:
    return "1 failure" if number == 1 else f"{number} failures"


def _through(failures: Sequence[Failure]) -> Counter[str]:
    """Distribution names → how many failures have a frame in a module of that name."""
    found: Counter[str] = Counter()
    for failure in failures:
        modules = {match[1] for frame in failure.frames if (match := _SITE.search(frame.path))}
        found.update({_spelt(name.removesuffix(".py")) for name in modules} | _aliases(modules))
    return found


def _named(failures: Sequence[Failure]) -> set[str]:
    """Names of modules that messages, exceptions and failing lines speak of."""
    words = {name for one in failures for name in _NAMED.findall(one.message)}
    words |= {one.exception.partition(".")[0] for one in failures if "." in one.exception}
    words |= {
        match[1]
        for one in failures
        if one.at and (match := re.match(r"(?:from|import)\s+(\w+)", one.at.source))
    }
    return {_spelt(word) for word in words} | _aliases(words)


def _aliases(modules: Iterable[str]) -> set[str]:
    """`yaml` is installed by `PyYAML`, `dateutil` by `python-dateutil`."""
    plain = {_spelt(name.removesuffix(".py")) for name in modules}
    return {f"{mark}{name}" for name in plain for mark in ("py", "python-")} | {
        f"{name}-python" for name in plain
    }
