"""`report`: a project's past to look at, to send, or to put on a pull request."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_recall.cli import door
from pytest_recall.errors import BadRequest

if TYPE_CHECKING:
    from pytest_recall.answers.overview import Overview, ReportAnswer

NAME = "report.html"


def add(commands: door.Commands) -> None:
    report = commands.add("report", "one page on the project's past: HTML, JSON, or Markdown", _report)
    report.add_argument("--format", default="html", choices=["html", "json", "markdown"])
    report.add_argument(
        "-o",
        "--output",
        default="",
        metavar="FILE",
        help=f"'-' is stdout; default: {NAME} in the store's folder, stdout for JSON and Markdown",
    )
    report.add_argument("--open", action="store_true", help="show the page in your browser")
    report.add_argument("--window", default="", metavar="TIME", help="only runs since: '7d', or a date")
    report.add_argument("--space", default="", choices=["", "local", "ci", "agent"], help="only runs of it")
    report.add_argument(
        "--compare",
        default="",
        metavar="RUN",
        help="what the newest run is set beside: a run id, a revision or a space; default: the last like it",
    )


async def _report(options: argparse.Namespace) -> int:
    from pytest_recall.answers import gather
    from pytest_recall.exports import placing

    if options.open and (options.format != "html" or options.output == "-"):
        raise BadRequest("--open shows an HTML file: leave --format and '-o -' out.")
    asked = gather.Ask(window=options.window, space=options.space, base=options.compare)
    async with door.app(options) as app:
        path = options.output or (
            str((await app.workspaces.get("")).folder / NAME) if options.format == "html" else "-"
        )
        with door.printing() if path == "-" else placing.placed(Path(path)) as out:
            overview = await gather.overview(app, "", asked)
            page = _rendered(overview, options.format).encode("utf-8")
            out.write(page)
            out.flush()
    if path == "-":
        return 0
    answer = _written(overview, Path(path), options.format, len(page))
    if options.open:
        answer.opened = _opened(Path(path))
    door.show(options, answer)
    return 1 if answer.opened is False else 0


def _written(overview: Overview, path: Path, name: str, size: int) -> ReportAnswer:
    from pytest_recall.answers.overview import ReportAnswer

    return ReportAnswer(
        file=str(path.absolute()),
        format=name,
        bytes=size,
        status=overview.last.status,
        runs=len(overview.runs),
        tests=len(overview.tests) + overview.tests_omitted,
        causes=len(overview.causes),
        flaky=len(overview.flaky),
        warnings=overview.warnings,
    )


def _rendered(overview: Overview, name: str) -> str:
    match name:
        case "json":
            return overview.model_dump_json(exclude_defaults=True) + "\n"
        case "markdown":
            from pytest_recall.exports import markdown

            return markdown.render(overview.model_dump(mode="json"))
        case _:
            from pytest_recall.exports.html import page

            told = {"causes", "last", "known", "spaces", "change", "apart", "flaky", "slower", "slowest"}
            drawn = overview.model_dump_json(exclude_defaults=True, exclude=told)
            return page.render(overview.model_dump(mode="json"), drawn)


def _opened(path: Path) -> bool:
    import webbrowser

    return webbrowser.open(path.resolve().as_uri())
