"""What a hint is, and what is known around a failure that one may rest on: environment, changes, the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_recall.history.groups import Group
from pytest_recall.history.providers import plain
from pytest_recall.model import Change, Environment, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What to do about a failure, and what that rests on. Both may quote the test's own words: untrusted."""

    rule: str
    text: str
    evidence: str
    worked: bool | None = None  # when somebody followed it before; None: nobody did, or nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """One thing of the environment that is another now; "" where it was, or is, not there."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.before or 'not installed'} → {self.after or 'not installed'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is known around one cause of failure."""

    python: str = "python"  # the interpreter, as a command names it
    environment: Environment = field(default_factory=Environment)
    since: str = ""  # the last run in which it passed, in words; "": none is known
    upgrades: tuple[Upgrade, ...] = ()  # of the environment, since then
    changes: tuple[Change, ...] | None = (
        None  # of the sources, since then, the nearest first; None: nobody knows
    )
    declared: Mapping[str, str] = field(
        default_factory=dict
    )  # plain name of a distribution → where the project asks for it
    modules: Mapping[str, str] = field(default_factory=dict)  # the project's own: dotted name → path
    places: Mapping[str, str] = field(
        default_factory=dict
    )  # a path that was not found → where such a file is
    streak: tuple[Sample, ...] = ()  # the failures with this fingerprint at the end of the test's history
    edited: tuple[str, ...] | None = None  # paths that were changed during those

    @property
    def installed(self) -> dict[str, str]:
        """Plain names of what is installed → version."""
        named = (package.rpartition("-") for package in self.environment.packages)
        return {plain(name): version for name, _, version in named}

    @property
    def plugins(self) -> frozenset[str]:
        """Plain names of the plugins that were loaded."""
        return frozenset(plain(plugin.rpartition("-")[0]) for plugin in self.environment.plugins)


def upgrades(before: Environment, after: Environment) -> tuple[Upgrade, ...]:
    """What differs between two environments, Python and pytest first. Unknown lists of packages differ in nothing."""
    own = [
        Upgrade(name=name, before=old, after=new)
        for name, old, new in (
            ("Python", before.python, after.python),
            ("pytest", before.pytest, after.pytest),
        )
        if old and new and old != new
    ]
    if not before.packages or not after.packages:
        return tuple(own)
    old, new = _versions(before.packages), _versions(after.packages)
    names = {plain(name): name for name in (*old, *new)}
    by_name = {plain(name): version for name, version in old.items()}
    now = {plain(name): version for name, version in new.items()}
    changed = [
        Upgrade(name=names[name], before=by_name.get(name, ""), after=now.get(name, ""))
        for name in sorted(names)
        if by_name.get(name) != now.get(name) and name != "pytest"
    ]
    return (*own, *changed)


def said(group: Group) -> str:
    """The words of the example failure, with its exception's name; "" where a test just hung or died."""
    failure = group.failure
    if failure is None:
        return ""
    return (
        failure.message
        if failure.message.startswith(failure.exception)
        else f"{failure.exception}: {failure.message}"
    )


def _versions(packages: Sequence[str]) -> dict[str, str]:
    return {name: version for name, _, version in (package.rpartition("-") for package in packages) if name}
