"""Everything about one run for a reviewer or another agent, gathered into named texts without secrets."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from pydantic import BaseModel, TypeAdapter

from pytest_recall import __version__, logbook
from pytest_recall.answers import history, learnt, logs, resource
from pytest_recall.answers import run as ran
from pytest_recall.answers.brief import day
from pytest_recall.answers.text import head
from pytest_recall.app import App
from pytest_recall.errors import RecallError
from pytest_recall.exports import archive, markdown
from pytest_recall.exports.archive import Member
from pytest_recall.meaning import Explained, Report
from pytest_recall.model import Coverage, Environment, Revision, RunFiles
from pytest_recall.redact import MARK, redact
from pytest_recall.store import lacking
from pytest_recall.workspace import Workspace

_TEXT = 20_000  # characters of one failure in the report
_HUNK = 20_000
_LIKE = 3  # similar past failures of each cause
_CAUSES = 20
_LINES = 500  # of our own log


class BundleAnswer(BaseModel):
    file: str
    run_id: str
    members: dict[str, int]  # bytes of each, unpacked
    left_out: dict[str, int] = {}  # bytes, where one was too large
    missing: list[str] = []  # what there was nothing of
    warnings: list[str] = []


@lacking.told
async def make(app: App, project: str, run_id: str, out: BinaryIO, *, file: str) -> BundleAnswer:
    """Write the bundle of that run onto *out*. Raises UnknownRun."""
    space = await app.workspaces.get(project)
    report = await app.report(project, run_id)
    try:
        files = await app.files(project, run_id)
    except RecallError:  # an old run: what is known of it is in the index
        files = RunFiles()
    gathered = [
        *_first(report, files),
        *await _history(app, project, report),
        *_last(space, report, files),
    ]
    packed = archive.pack(
        out,
        [member for member in gathered if member.text.strip()],
        folder=f"pytest-recall-{run_id}",
        at=report.run.started_at,
    )
    return BundleAnswer(
        file=file,
        run_id=run_id,
        members={one.name: one.size for one in packed},
        left_out={one.name: one.left_out for one in packed if one.left_out},
        missing=[f"{member.name}: {member.what}" for member in gathered if not member.text.strip()],
        warnings=[head(trouble, 300) for trouble in await app.troubles(project)],
    )


def name(run_id: str) -> str:
    """What the file is called where nobody names it."""
    return f"pytest-recall-{run_id}.tar.gz"


def _first(report: Report, files: RunFiles) -> Iterator[Member]:
    """What a reader begins with."""
    answer = ran.answer(_unset(report), full=True)
    shown = answer.model_dump(mode="json")
    texts = [redact(one.group.failure.text)[:_TEXT] if one.group.failure else "" for one in report.groups]
    text = markdown.of_run(_clean(shown), texts[: len(answer.failures)])
    yield Member(name="report.md", text=redact(text), what="the run, to read")
    yield Member(name="answer.json", text=_json(shown), what="the run as an agent is told of it", whole=True)
    run = json.loads(resource.run(report.run))
    run.get("request", {}).update(env=[[key, MARK] for key, _ in report.run.request.env])
    yield Member(name="run.json", text=_json(run, None), what="the run, whole and typed", whole=True)
    yield Member(name="output.txt", text=redact(resource.output(files)), what="what pytest printed")
    yield Member(name="log.txt", text=redact(resource.log(files)), what="what the tests logged")
    covered = report.run.coverage
    yield Member(
        name="coverage.json",
        text=_json(TypeAdapter(Coverage).dump_python(covered, mode="json")) if covered else "",
        what="what of the sources was run",
        whole=True,
    )
    yield Member(name="environment.json", text=_json(_environment(report)), what="where it ran", whole=True)


def _unset(report: Report) -> Report:
    """*report* without the values that the caller gave to variables: whether one is a secret, nobody knows here."""
    groups = []
    for one in report.groups:
        command = one.judgement.command
        for name, value in report.run.request.env:
            command = command.replace(f"{name}={shlex.quote(value)}", f"{name}={MARK}")
        groups.append(replace(one, judgement=replace(one.judgement, command=command)))
    return replace(report, groups=tuple(groups))


def _last(space: Workspace, report: Report, files: RunFiles) -> Iterator[Member]:
    """What is large, or seldom needed."""
    run = report.run
    diff = space.snapshots.diff(space.root, run.revision.commit, run.revision.tree)
    yield Member(name="uncommitted.diff", text=redact(diff), what="what ran and was not committed")
    before = _tree(report.before.revision) if report.before else ""
    since = space.snapshots.diff(space.root, before, _tree(run.revision))
    yield Member(
        name="since-last-run.diff", text=redact(since), what="what was changed since the last comparable run"
    )
    kept = resource.report(run, files)
    yield Member(
        name="report.json",
        text=_json(json.loads(kept), None) if _parses(kept) else "",
        what="the JSON report, in pytest-json-report's format",
        whole=True,
    )
    yield Member(
        name="events.txt", text=redact("\n".join(logs.told(run))), what="each attempt, as they began"
    )
    yield Member(
        name="server.log", text=redact(logbook.tail(space.folder, _LINES)), what="our own log, its end"
    )


async def _history(app: App, project: str, report: Report) -> list[Member]:
    causes = [await _cause(app, project, one) for one in report.groups[:_CAUSES]]
    before = report.before
    told = {
        "compared_with": {"run_id": before.id, "at": day(before.started_at)} if before else None,
        "causes": causes,
    }
    return [
        Member(
            name="history.json", text=_json(told), what="similar past failures, fixes and notes", whole=True
        )
    ]


async def _cause(app: App, project: str, explained: Explained) -> dict[str, Any]:
    group, failure = explained.group, explained.group.failure
    words = f"{failure.exception}: {failure.message}\n{failure.text}" if failure else ""
    degraded = (await app.workspaces.get(project)).store.degraded
    reachable = words and not degraded  # an index out of reach is waited for once
    like = await app.similar(project, words, limit=_LIKE + 1) if reachable else []
    return {
        "fingerprint": group.fingerprint,
        "tests": list(group.tests[:50]),
        "verdict": explained.judgement.verdict,
        "evidence": explained.judgement.evidence,
        "hints": [
            {"rule": one.rule, "text": one.text, "evidence": one.evidence, "worked": one.worked}
            for one in explained.hints
        ],
        "seen_before": history.similar_line(explained.seen).model_dump() if explained.seen else None,
        "fix": learnt.fix(explained.fix, hunk=_HUNK, intents=10, files=50).model_dump()
        if explained.fix
        else None,
        "notes": learnt.notes(explained.notes, number=50, most=4_000),
        "similar": [
            history.similar_line(one).model_dump()
            for one in like
            if one.failure.fingerprint != group.fingerprint
        ][:_LIKE],
    }


def _environment(report: Report) -> dict[str, Any]:
    run = report.run
    environment: dict[str, Any] = TypeAdapter(Environment).dump_python(run.environment, mode="json")
    target = {"python": run.target.python, "source": run.target.source, "root": run.target.root}
    return environment | {"target": target, "pytest_recall": __version__}


def _tree(revision: Revision) -> str:
    return revision.tree or ("" if revision.dirty else revision.commit)


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return text.strip() != "{}"


def _json(value: Any, indent: int | None = 1) -> str:
    return json.dumps(_clean(value), indent=indent, ensure_ascii=False) + "\n"


def _clean(value: Any) -> Any:
    """*value* with the secrets taken out of its texts; a name beside its value tells of one, too."""
    match value:
        case str():
            return redact(value)
        case [str(key), str(text)] if key.isidentifier():
            return [key, _beside(key, text)]
        case list():
            return [_clean(one) for one in value]
        case Mapping():
            return {
                key: _beside(key, one) if isinstance(one, str) else _clean(one) for key, one in value.items()
            }
        case _:
            return value


def _beside(key: str, text: str) -> str:
    """*text* as the value of *key*, as a program would write the two."""
    named = f"{key}={text}"
    cleaned = redact(named)
    return cleaned[len(key) + 1 :] if cleaned.startswith(f"{key}=") else cleaned
