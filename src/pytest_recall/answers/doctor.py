"""The answer of `doctor`: what was found, and for each problem its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from pydantic import BaseModel

from pytest_recall import __version__
from pytest_recall.answers.text import head, refusal
from pytest_recall.app import App, Examination
from pytest_recall.errors import RecallError, quoted
from pytest_recall.install.launch import Trial
from pytest_recall.install.places import Configured, Unreadable
from pytest_recall.model import Status

Checked = tuple[
    Configured | Unreadable, Trial | None
]  # a client's entry, and what came of starting its server


class Finding(BaseModel):
    what: str
    found: str


class Problem(Finding):
    remedy: str


class DoctorAnswer(BaseModel):
    version: str = __version__
    findings: list[Finding] = []
    problems: list[Problem] = []


async def examine(app: App, project: str, clients: Sequence[Checked] = ()) -> DoctorAnswer:
    """Look at everything that a run needs; raises only when there is no such project.

    *clients* are the entries for this server in clients' files, as the caller found them.
    """
    seen = await app.examine(project)
    answer = DoctorAnswer()
    looks = (_interpreter, _pytest, _git, _store, _last_run, _settings)
    for one in chain(*(look(seen) for look in looks), _clients(clients)):
        if isinstance(one, Problem):
            answer.problems.append(one)
        else:
            answer.findings.append(one)
    return answer


def _interpreter(seen: Examination) -> Iterator[Finding]:
    target = seen.target
    if isinstance(target, RecallError):
        yield Problem(
            what="interpreter",
            found=str(target),
            remedy="Make an environment (python -m venv .venv) and install the project and pytest, or pass --python.",
        )
        return
    yield Finding(what="interpreter", found=f"{target.python} ({target.source})")
    for tried in target.tried:
        if tried.python != target.python:
            yield Finding(what="passed over", found=f"{tried.python} ({tried.source}): {tried.verdict}")
    if target.warning:
        yield Problem(
            what="interpreter", found=target.warning, remedy="Pass --python, or make a .venv in the project."
        )


def _pytest(seen: Examination) -> Iterator[Finding]:
    found = seen.discovery
    if found is None:
        return
    if isinstance(found, RecallError):
        yield Problem(
            what="pytest", found=str(found), remedy="Do what the message says, then run doctor again."
        )
        return
    yield Finding(what="pytest", found=f"{found.pytest}, {found.selected} tests, rootdir {found.rootdir}")
    if found.plugins:
        yield Finding(what="plugins", found=", ".join(found.plugins))
    if found.status not in {Status.PASSED, Status.NO_TESTS}:
        errors = [f"{c.id}: {c.failure.message if c.failure else c.reason}" for c in found.collectors]
        yield Problem(
            what="collection",
            found=head("; ".join([refusal(found.message) or found.message, *errors]).strip("; "), 600),
            remedy="pytest-recall discover shows each error; mend them, or the environment they name.",
        )


def _git(seen: Examination) -> Iterator[Finding]:
    if seen.git:
        yield Problem(
            what="git",
            found=seen.git,
            remedy="Do what git says, as the user that runs pytest-recall. Until then there is no base to compare with, and runs "
            "know no commit, no branch and no fix.",
        )


def _store(seen: Examination) -> Iterator[Finding]:
    yield Finding(what="store", found=f"{seen.folder} ({seen.backend})")
    yield Finding(
        what="stored",
        found=", ".join(f"{number} {name}" for name, number in seen.stored.items()) or "nothing",
    )
    for trouble in seen.troubles:
        yield Problem(
            what="store",
            found=trouble,
            remedy="What the journal has is not lost. If this stays, check disk space and permissions, then "
            "pytest-recall store verify, which names what is damaged.",
        )


def _last_run(seen: Examination) -> Iterator[Finding]:
    if seen.last is None:
        return
    yield Finding(what="last run", found=f"{seen.last.id}: {seen.last.status.value}")
    for doubt in seen.last.doubts:
        yield Problem(
            what="last run",
            found=head(doubt, 300),
            remedy="The verdict was made cautiously. pytest-recall logs shows what was printed; run the tests again.",
        )


def _settings(seen: Examination) -> Iterator[Finding]:
    settings, rest = seen.settings, []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name) if field.repr else "(set)"
        if name in settings.origins:
            yield Finding(what=f"setting {name}", found=head(f"{value} (from {settings.origins[name]})", 500))
        else:
            rest.append(f"{name}={value}" if field.repr and value not in ("", ()) else name)
    yield Finding(what="settings at their default", found=", ".join(rest))


def _clients(checked: Sequence[Checked]) -> Iterator[Finding]:
    if not checked:
        yield Finding(
            what="clients", found="none knows this server yet: pytest-recall install, and the client's name"
        )
    for found, trial in checked:
        what = f"{found.client.title} ({found.scope})"
        if isinstance(found, Unreadable):
            yield Problem(
                what=what,
                found=head(found.why, 400),
                remedy="Mend the file where it says; until then the client starts none of its servers.",
            )
            continue
        if trial is None:
            yield Finding(what=what, found=f"configured in {found.path}")
        elif trial.trouble:
            yield Problem(
                what=what,
                found=head(f"{found.path} starts {quoted(found.launch.command)}: {trial.trouble}", 600),
                remedy=f"pytest-recall install {found.client.name} --scope {found.scope} writes a working entry.",
            )
        else:
            yield Finding(
                what=what, found=f"{found.path}: starts in {trial.seconds:.1f} s, {len(trial.tools)} tools"
            )
        if not found.knows_project:
            instead = "--scope project, or with " if found.client.project else ""
            yield Problem(
                what=what,
                found=f"{found.path} names no project, and {found.client.title} does not start it in yours",
                remedy=f"pytest-recall install {found.client.name} {instead}--for FOLDER",
            )
