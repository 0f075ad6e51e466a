"""`import` and `export`: runs of CI and of other tools into the memory, and out of it for them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_recall.cli import door
from pytest_recall.errors import BadRequest

if TYPE_CHECKING:
    from pytest_recall.app import App
    from pytest_recall.moving import Taken


def add(commands: door.Commands) -> None:
    take = commands.add("import", "keep the runs that test reports tell of", _import)
    take.add_argument("files", nargs="*", metavar="FILE", help="reports, folders, archives; '-' for stdin")
    take.add_argument("--gh", default="", metavar="RUN_ID", help="a GitHub Actions run, fetched with `gh`")
    take.add_argument(
        "--gh-since", default="", metavar="WHEN", help="all of GitHub's runs since '7d' or a date"
    )
    take.add_argument("--gh-artifact", default="", metavar="GLOB", help="only artefacts of such names")
    take.add_argument("--space", default="ci", choices=["local", "ci", "agent"])
    take.add_argument(
        "--revision", default="", metavar="COMMIT", help="what was tested; evidence of flakes needs it"
    )
    take.add_argument("--branch", default="", metavar="NAME")
    take.add_argument(
        "--job", default="", metavar="NAME", help="where it ran; the same name for the same environment"
    )
    take.add_argument(
        "--format",
        default="",
        metavar="NAME",
        help="junit, json-report, reportlog, ctrf, jsonl, capture; default: told by content",
    )

    give = commands.add("export", "write runs for other tools", _export)
    give.add_argument(
        "runs", nargs="*", metavar="RUN", help="run ids, or how they begin; default: the latest run"
    )
    give.add_argument("--since", default="", help="all runs since '12h', '7d' or a date")
    give.add_argument("--format", default="jsonl", choices=["jsonl", "junit", "ctrf"])
    give.add_argument(
        "-o", "--output", type=door.output, default="", metavar="FILE", help="'-', the default, is stdout"
    )


async def _import(options: argparse.Namespace) -> int:
    from pytest_recall.answers import moving
    from pytest_recall.imports.sources import Sources

    github = bool(options.gh) + bool(options.gh_since)
    if bool(options.files) + github != 1:
        what = "files, folders or '-', or --gh RUN_ID, or --gh-since 7d"
        said = "One import takes only one of" if options.files or github else "Name what to import:"
        raise BadRequest(f"{said} {what}.")
    if github and (options.revision or options.branch or options.job):
        raise BadRequest("--gh knows revision, branch and job of each run itself; leave them out.")
    async with door.app(options) as app:
        own = (await app.workspaces.get("")).folder
        stdin = sys.stdin.buffer if sys.stdin else None  # it may be closed
        sources = Sources(options.files, stdin=stdin, own=own)
        if github:
            taken = await _from_github(app, options)
        else:
            taken = await app.take_in(
                "",
                sources,
                space=options.space,
                revision=options.revision,
                branch=options.branch,
                job=options.job,
                wanted=options.format,
            )
        left = await app.hand_on("")
        answer = moving.imported(
            taken, passed_over=sources.passed_over, warnings=(*await app.troubles(""), *filter(None, [left]))
        )
    door.show(options, answer)
    return 1 if answer.refused else 0


async def _from_github(app: App, options: argparse.Namespace) -> list[Taken]:
    from pytest_recall.answers.history import instant

    return await app.take_in_github(
        "",
        run_id=options.gh,
        since=instant(options.gh_since),
        pattern=options.gh_artifact,
        space=options.space,
        wanted=options.format,
    )


async def _export(options: argparse.Namespace) -> int:
    from pytest_recall.answers import naming
    from pytest_recall.answers.history import instant
    from pytest_recall.answers.moving import ExportAnswer
    from pytest_recall.exports import placing

    if options.runs and options.since:
        raise BadRequest("Name runs, or --since, and not both.")
    stream = placing.placed(Path(options.output)) if options.output else door.printing()
    count, missing = 0, list[str]()
    async with door.app(options) as app:
        with stream as out:
            writer = app.writer(options.format, out)
            ids = [await naming.run_id(app, "", word) for word in options.runs]
            async for run_id, run in app.hand_out("", ids, since=instant(options.since)):
                if run is None:
                    missing.append(run_id)
                    continue
                writer.add(run)
                count += 1
            writer.close()
            out.flush()
    answer = ExportAnswer(file=options.output, format=options.format, runs=count, missing=missing)
    if options.output:
        door.show(options, answer)
    elif missing:
        print(f"pytest-recall: {len(missing)} runs cannot be read: {', '.join(missing[:5])}", file=sys.stderr)
    return 1 if missing else 0
