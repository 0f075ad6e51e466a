"""What every command shares: its common options, the way to the use cases, and how an answer is shown."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pytest_recall.errors import RecallError, UnknownProject, Unprintable, quoted

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pytest_recall.app import App

Act = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


class Commands:
    """The commands being registered; each gets the options that all have."""

    def __init__(self, parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        self._parsers = parsers
        self._common = argparse.ArgumentParser(add_help=False)
        add = self._common.add_argument
        add("--project", metavar="FOLDER", help="the target project; default: this folder")
        add("--python", metavar="FILE", help="the interpreter that runs its tests")
        add("--store", metavar="WHERE", help="'embedded' or the http:// address of a Chroma server")
        add("--json", action="store_true", help="print the typed answer as JSON")

    def add(
        self, name: str, text: str, act: Act | None = None, *, passes_on: bool = False
    ) -> argparse.ArgumentParser:
        """A new command that runs *act*; `passes_on`: words it does not know are pytest's."""
        parser = self._parsers.add_parser(
            name, help=text, description=text, parents=[self._common], allow_abbrev=False
        )
        parser.set_defaults(act=act, passes_on=passes_on)
        return parser


def flags(options: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """The settings that the command line gives."""
    names = ("python", "store", "allow_root", "allow_any_args")
    return {name: getattr(options, name, None) for name in names} | more


def app(options: argparse.Namespace, **more: Any) -> App:
    """The use cases for this command's project, to be entered; *more* are further settings."""
    from pytest_recall.app import App

    return App(flags=flags(options, **more), environ=os.environ, default=project(options))


def project(options: argparse.Namespace) -> Path:
    """--project, else what the environment says, else the folder of Claude's project, else this one."""
    named = options.project or os.environ.get("PYTEST_RECALL_PROJECT") or os.environ.get("CLAUDE_PROJECT_DIR")
    # No shell has seen what a client's configuration says. Path.expanduser raises where there is no home.
    return Path(os.path.expanduser(named or ".")).absolute()  # noqa: PTH111


def folder(options: argparse.Namespace) -> Path:
    """The same, which must be there. Raises UnknownProject."""
    path = project(options)
    if not path.is_dir():
        raise UnknownProject(f"No folder at {quoted(str(path))}. Pass the project's folder.")
    return path.resolve()


def output(text: str) -> str:
    """What -o names: a file, or "" for stdout."""
    return "" if text == "-" else text


def show(options: argparse.Namespace, answer: BaseModel) -> None:
    """Print *answer* as this command's options ask. A reader who has seen enough of it ends nothing else."""
    try:
        with printing():
            _print(options, answer)
    except (BrokenPipeError, SystemExit):  # rich's word for it
        leave()


def _print(options: argparse.Namespace, answer: BaseModel) -> None:
    if options.json:
        print(answer.model_dump_json(exclude_defaults=True))
        return
    from pytest_recall.cli import terminal

    terminal.show(answer)


@contextmanager
def printing() -> Iterator[BinaryIO]:
    """Where something is printed; gives stdout for bytes.

    Raises:
        Unprintable: it takes nothing.
        BrokenPipeError: its reader left.
    """
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()  # here, where a reader who left can be told from an error
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:  # some other file's
            raise
        leave()
        raise Unprintable(
            f"The answer cannot be written to stdout: {error.strerror or error}. Make room there, or send it elsewhere. "
            "What the command did is done, and a run that it made is kept."
        ) from error


def leave() -> None:
    """Print no more: Python would complain again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_error(error: RecallError, *, as_json: bool) -> int:
    """Print *error* where its reader looks for it; gives the exit code."""
    if as_json and not isinstance(error, Unprintable):
        import json

        with printing():
            print(json.dumps({"error": str(error)}))
    else:
        print(f"pytest-recall: {error}", file=sys.stderr)
    return error.exit_code
